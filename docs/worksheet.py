"""The worksheet of the course: places to write in, and the page that they make together.

docs/pages/assets/worksheet.js keeps what is written in the browser and saves it as Markdown.
"""

import posixpath
from html import escape

# Id -> what is asked. An id is permanent: what a reader wrote is kept under it.
FIELDS = {
    "workload": (
        "My workload: target, drafter, engine and versions; which texts, how many; temperature;"
        " batch"
    ),
    "acceptance": "Acceptance, with its interval by text",
    "costs": "Costs at my batch: a draft step and the verify curve, in plain steps",
    "predicted": "Predicted speedup, at both ends of the interval",
    "measured": "Measured speedup, with its interval, and against which plain loop",
    "verdict": "The judge's verdict, and what it would have found",
    "decision": "My decision, and what would change it",
    "differently": "What I would do differently",
    "insight": "One insight, for a colleague",
}

_FIELD = """\
<div class="worksheet-field">
<label for="worksheet-{id}">{label}</label>
<textarea id="worksheet-{id}" data-worksheet="{id}" rows="2"></textarea>
</div>
"""
_ROW = '<tr><th scope="row">{label}</th><td data-worksheet-shown="{id}"></td></tr>'
_PAGE = """\
<div class="worksheet-page">
<table class="worksheet-table">
<tbody>
{rows}
</tbody>
</table>
</div>
<script src="{script}" defer></script>
"""


def field(id: str) -> str:
    """A place to write in.

    Errors:
        LookupError for an unknown one.
    """
    if id not in FIELDS:
        raise LookupError(f"the worksheet has no field {id!r}, only {', '.join(FIELDS)}")
    return _FIELD.format(id=id, label=escape(FIELDS[id], quote=False))


def page(here: str = "") -> str:
    """All answers as one table, and the script. here: the page's folder in the site."""
    rows = [_ROW.format(id=id, label=escape(label, quote=False)) for id, label in FIELDS.items()]
    script = posixpath.relpath("assets/worksheet.js", here or ".")
    return _PAGE.format(rows="\n".join(rows), script=script)
