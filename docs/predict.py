"""Predictions of the course: a question before the measurement, and the answer beside it.

docs/pages/assets/predict.js keeps the choice in the browser and shows it back.
"""

import posixpath
from html import escape

_ASK = """\
<form class="predict" id="predict-{id}" data-predict="{id}">
<fieldset>
<legend>Predict first. {question}</legend>
{options}
</fieldset>
</form>
<script src="{script}" defer></script>
"""
_OPTION = (
    '<label><input type="radio" name="predict-{id}" value="{text}"> <span>{text}</span></label>'
)
_SHOW = (
    '<p class="predicted" data-predicted="{id}">'
    'Compare it with <a href="#predict-{id}">your prediction</a>.</p>'
)


def ask(id: str, question: str, *options: str, here: str = "") -> str:
    """A question with at least two possible answers. here: the page's folder in the site.

    Errors:
        ValueError where there is nothing to choose.
    """
    if len(set(options)) < 2:
        raise ValueError(f"the prediction {id} needs two options or more")
    return _ASK.format(
        id=escape(id),
        question=escape(question),
        options="\n".join(_OPTION.format(id=escape(id), text=escape(text)) for text in options),
        script=posixpath.relpath("assets/predict.js", here or "."),
    )


def show(id: str) -> str:
    """The place beside the measurement."""
    return _SHOW.format(id=escape(id))
