"""The house's limits on density, over every tracked Python file. What ruff can check stands in
pyproject.toml; this is the rest.
"""

from collections import Counter

import pytest

from tests import style

DENSITY = 10.0  # AST nodes per code line
CORE_AND_CLI = {
    "core", "verify", "draft", "model", "serve", "train", "stats", "exact", "measure", "adapters",
    "cli",
}  # fmt: skip

# How many forbidden constructs each room may still have. Lower a number when you mend one.
LEFT = {
    "judge": 42,
}
# Files above the density limit: one page by its own limit of 40 lines, and index arithmetic of
# tensors, which is dense in any layout. No room as a whole is above the limit.
DENSE = {
    "reference/specref/adapters/one_page.py",
    "reference/specref/model/paged.py",
    "reference/specref/probs.py",
    "reference/specref/speculate.py",
    "reference/specref/stats/betting.py",
    "reference/specref/stats/lags.py",
    "reference/specref/stats/pooled.py",
    "reference/specref/stats/rehearse.py",
    "reference/specref/verify/gumbel.py",
    "reference/specref/verify/traversal.py",
}


def test_no_forbidden_construct() -> None:
    found = []
    for path in style.tracked():
        for line, name in style.forbidden((style.ROOT / path).read_text()):
            found.append((style.room(path), f"{path}:{line}: {name}"))
    counts = Counter(room for room, _ in found)
    over = {room for room, count in counts.items() if count > LEFT.get(room, 0)}
    assert not over, "\n".join(place for room, place in found if room in over)
    clean = [room for room in LEFT if not counts[room]]
    assert not clean, f"{clean} have none left: take them out of LEFT"


def test_density_of_core_and_cli() -> None:
    dense = {}
    for path in style.tracked():
        if style.room(path) in CORE_AND_CLI and path.startswith("reference/"):
            density = style.measure((style.ROOT / path).read_text()).density
            if density > DENSITY:
                dense[path] = round(density, 2)
    assert not dense.keys() - DENSE, dense


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("[x for row in [[y for y in z] for z in w] for x in row]", "nested comprehension"),
        ("any(x in {y for y in w} for x in w)", "nested comprehension"),
        ("a if b else c if d else e", "chained conditional"),
        ("(a if b else c) if d else e", "chained conditional"),
        ('"s" * (n > 1)', "text times a truth value"),
        ('(not n) * f"{n}"', "text times a truth value"),
        ("def f(loud: bool):\n    return '!' * loud", "text times a truth value"),
    ],
)
def test_forbidden_finds(code: str, name: str) -> None:
    assert name in [found for _, found in style.forbidden(code)]


@pytest.mark.parametrize(
    "code",
    [
        "[f(x) for x in w if x]",
        "[a if b else c for b in w]",
        "f(a if b else c, d if e else f)",
        '"-" * 20',
        '"-" * width',
        "2 * (n > 1)",
    ],
)
def test_forbidden_leaves_alone(code: str) -> None:
    assert not list(style.forbidden(code))


def test_measure_counts_by_hand() -> None:
    # Module, Expr and Constant of the docstring, Assign, Name, Store and Constant
    size = style.measure('"""Two\nlines."""\n\n# a comment\nx = 1\n')
    assert (size.nodes, size.lines, size.docstrings, size.forbidden) == (7, 3, 2, 0)
    assert (size.density, size.without_docstrings) == (7 / 3, 7)
