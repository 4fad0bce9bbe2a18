"""junit.xml: what continuous integration reads. A check without enough evidence is an error, not a
failure.
"""

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ..verdict import Report, Verdict
from . import words

# XML 1.0 has no such characters
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> str:
    """One test case for each check that was to be run.

    FAIL is a failure; INCONCLUSIVE, UNVERIFIED and a check without a verdict are errors of that
    type; UNSUPPORTED and what is known to fail are skipped.
    """
    said = {verdict.id: verdict for verdict in report.checks}
    suite = Element(
        "testsuite", name=f"specref.{report.level or 'judge'}", time=f"{report.seconds:.3f}"
    )
    properties = SubElement(suite, "properties")
    for name, value in (
        ("engine", report.engine),
        ("seed", report.seed),
        ("verdict", words.sentence(report)),
        ("complete", report.complete),
    ):
        SubElement(properties, "property", name=name, value=_clean(str(value)))
    for name in report.expected:
        _case(suite, report, name, said.get(name))
    if report.crashed:
        case = SubElement(suite, "testcase", classname="specref", name="engine", time="0")
        SubElement(case, "error", type="CRASHED", message=_clean(report.crashed)).text = _clean(
            report.noise[-4000:]
        )
    tally = {
        key: str(len(suite.findall(f"testcase{path}")))
        for key, path in (
            ("tests", ""),
            ("failures", "/failure"),
            ("errors", "/error"),
            ("skipped", "/skipped"),
        )
    }
    suite.attrib.update(tally)
    suites = Element(
        "testsuites",
        {key: value for key, value in tally.items() if key != "skipped"},
        name="specref validate",
    )
    suites.append(suite)
    ElementTree.indent(suites)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        + ElementTree.tostring(suites, encoding="unicode")
        + "\n"
    )


def _case(suite: Element, report: Report, name: str, verdict: Verdict | None) -> None:
    case = SubElement(
        suite,
        "testcase",
        classname=f"specref.{name.split('.')[0]}",
        name=name,
        time=f"{verdict.seconds if verdict else 0:.3f}",
    )
    if verdict is None:
        SubElement(
            case, "error", type="MISSING", message="the run ended before this check had a verdict"
        )
        return
    shown = words.known(report, verdict)
    if verdict in report.failed:
        kind = "failure"
    elif shown != verdict.verdict or verdict.verdict == "UNSUPPORTED":
        kind = "skipped"
    else:
        kind = {"INCONCLUSIVE": "error", "UNVERIFIED": "error"}.get(verdict.verdict, "")
    if kind:
        message = _clean(f"{shown}: {verdict.what}")
        detail = SubElement(case, kind, message=message)
        if kind != "skipped":
            detail.set("type", verdict.verdict)
            detail.text = _clean(
                "\n".join(text for text in (verdict.case, verdict.cause, verdict.repro) if text)
            )
    else:
        SubElement(case, "system-out").text = _clean(f"{shown}: {verdict.what}\n{verdict.repro}")


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("�", text)
