"""The flow of one cycle, and the file that does each step. A file that does not exist breaks the
build.
"""

from pathlib import Path

from . import svg

ROOT = Path(__file__).parents[2]
STEPS = (  # what happens, in a few words; what is handed on; where it is written
    ("propose", "a drafter guesses some tokens ahead", "Draft", "reference/specref/draft"),
    (
        "score",
        "one target forward over all of them",
        "logits",
        "reference/specref/model/transformer.py",
    ),
    ("probs", "temperature, filters, penalties", "p", "reference/specref/probs.py"),
    ("verify", "a rule accepts a prefix and adds one token", "Verdict", "reference/specref/verify"),
    ("commit", "the cache keeps the accepted path only", "", "reference/specref/model/cache.py"),
    ("emit", "cut at stops and lengths, hand out", "", "reference/specref/decode.py"),
)
WIDTH, BOX, HEIGHT, GAP, LEFT = 430, 268, 50, 28, 4


def draw() -> str:
    shapes = []
    for number, (name, words, handed, path) in enumerate(STEPS):
        if not (ROOT / path).exists():
            raise FileNotFoundError(f"the house shows {path}, which does not exist")
        y = 10 + number * (HEIGHT + GAP)
        shapes += [
            svg.box(LEFT, y, BOX, HEIGHT, "room", 6),
            svg.text(LEFT + 12, y + 20, name, "strong"),
            svg.text(
                LEFT + BOX - 12, y + 20, path.removeprefix("reference/specref/"), "mono", "end"
            ),
            svg.text(LEFT + 12, y + 39, words, "small"),
        ]
        if number + 1 < len(STEPS):
            shapes += [
                svg.arrow([(LEFT + 60, y + HEIGHT), (LEFT + 60, y + HEIGHT + GAP - 2)]),
                svg.text(LEFT + 72, y + HEIGHT + GAP / 2 + 4, handed, "small"),
            ]
    shapes += _chance() + _again()
    height = 10 + len(STEPS) * (HEIGHT + GAP) - GAP + 10
    return svg.drawing(WIDTH, height, "The flow of one cycle, from propose to emit", shapes)


def _middle(number: int) -> float:
    return 10 + number * (HEIGHT + GAP) + HEIGHT / 2


def _chance() -> list[str]:
    """Chance answers the drafter and the rule, and nobody else."""
    x, y = LEFT + BOX + 44, _middle(1) + 20
    return [
        svg.box(x, y, 92, HEIGHT, "side", 6),
        svg.text(x + 12, y + 20, "chance", "strong"),
        svg.text(x + 12, y + 39, "coins, draws", "small"),
        svg.arrow([(x + 46, y), (x + 46, _middle(0)), (LEFT + BOX + 2, _middle(0))]),
        svg.arrow(
            [(x + 46, y + HEIGHT), (x + 46, _middle(3) - 8), (LEFT + BOX + 2, _middle(3) - 8)]
        ),
    ]


def _again() -> list[str]:
    """From the last step back to the first."""
    first, last, edge, x = _middle(0) - 14, _middle(len(STEPS) - 1), LEFT + BOX, LEFT + BOX + 148
    return [
        svg.arrow([(edge, last), (x, last), (x, first), (edge + 2, first)], "again"),
        svg.text(LEFT + BOX + 12, last - 7, "until the text ends", "small"),
    ]


def caption() -> str:
    return (
        "One cycle. A method is a choice of drafter and rule; everything else stays. Only the"
        " drafter and the rule ask chance, so whoever answers decides whether the program samples"
        " or is enumerated."
    )
