"""The house's docstrings reach the API reference whole."""

from docs.hooks.docstrings import literal, tidy

SHORT = """Judge a chain.

Args:
    draft: a chain of N tokens, x: no parameter. p: [B,N+1,V], row 0 first.
    a, b: counts. level: 95 %.
Returns:
    Verdict; p: as it was.
Errors:
    SpecrefError for nothing. KeyError: not ours.
"""


def test_arguments_get_a_line_each_and_sections_an_empty_one() -> None:
    assert tidy(SHORT, ["draft", "p", "a", "b", "level"]).splitlines() == [
        "Judge a chain.",
        "",
        "Args:",
        "    draft: a chain of N tokens, x: no parameter.",
        "    p: [B,N+1,V], row 0 first.",
        "    a: counts.",
        "    b: counts.",
        "    level: 95 %.",
        "",
        "Returns:",
        "    Verdict; p: as it was.",
        "",
        "Raises:",
        "    SpecrefError: for nothing. KeyError: not ours.",
    ]


def test_errors_without_a_type_are_the_projects_own() -> None:
    for said in ("SpecrefError, one line.", "SpecrefError: one line.", "one line."):
        assert (
            tidy(f"X.\n\nErrors:\n    {said}", []).splitlines()[-1] == "    SpecrefError: one line."
        )
    assert tidy("X.\n\nErrors:\n    KeyError: gone.", []).splitlines()[-1] == "    KeyError: gone."


def test_other_docstrings_stay_as_they_are() -> None:
    text = "Probs.\n\n    bias -> softmax. p: no section\n\nArgs: as `mde`."
    assert tidy(text, ["p"]) == text


def test_indices_are_no_links() -> None:
    assert (
        literal("ranks[depth][rank] and `a[b][c]`\n[B,N] x[1][2]")
        == "ranks[depth]\\[rank] and `a[b][c]`\n[B,N] x[1]\\[2]"
    )
