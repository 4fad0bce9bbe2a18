"""The museum's pictures: for each bug that a real engine had, p beside what is emitted.

The numbers come from docs/results/pictures.json, which `specref zoo --pictures` writes.
"""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from docs.figures import svg
from docs.hooks import results

# Project, as the zoo's sources name it -> repository.
REPOSITORIES = {
    "transformers": "huggingface/transformers",
    "vLLM": "vllm-project/vllm",
    "vllm-ascend": "vllm-project/vllm-ascend",
    "SGLang": "sgl-project/sglang",
    "koboldcpp": "LostRuins/koboldcpp",
    "fms-extras": "foundation-model-stack/fms-extras",
    "ROCm/ATOM": "ROCm/ATOM",
}
WIDTH, LEFT, BARS, ROW = 430, 130, 230, 30


def page(root: Path) -> str:
    """One entry a bug: heading, what a user sees, the picture, the TV and the check."""
    result = results.load(root, "zoo --pictures")
    if result is None:
        return results.wanting("zoo --pictures")
    return "\n\n".join(map(entry, result["pictures"]))


def entry(bug: Mapping[str, Any]) -> str:
    """Markdown of one bug."""
    seen = f"`{bug['caught_by']}`" if bug["convicted"] else "**nothing**"
    return (
        f"### {bug['name']} {{ #{bug['name']} }}\n\n"
        f"{issue(bug['source'])}. What a user sees: {escape(bug['symptom'], quote=False)}.\n\n"
        f'<figure class="drawing">{picture(bug)}'
        f"<figcaption>Case: {escape(bug['case'])}. Exact TV"
        f" {results.distance(bug['tv'])}.</figcaption></figure>\n\n"
        f"The check that sees it: {seen}."
    )


def issue(source: str) -> str:
    """A link to the issue; the words alone where the project's repository is not known here."""
    project, number = source.rsplit(" #", 1)
    if project not in REPOSITORIES:
        return f"Seen in {source}"
    address = f"https://github.com/{REPOSITORIES[project]}/issues/{number}"
    return f"Seen in [{source}]({address})"


def picture(bug: Mapping[str, Any]) -> str:
    """Two bars an outcome: above p, below what is emitted."""
    shapes = [
        svg.box(LEFT, 4, 10, 10, "shared"),
        svg.text(LEFT + 15, 13, "target p", "small"),
        svg.box(LEFT + 90, 4, 10, 10, "more-p"),
        svg.text(LEFT + 105, 13, "emitted", "small"),
    ]
    most = max(max(row["p"], row["emitted"]) for row in bug["outcomes"])
    for number, row in enumerate(bug["outcomes"]):
        top = 24 + ROW * number
        shapes.append(svg.text(LEFT - 8, top + 15, row["outcome"], "small", "end"))
        for down, key, kind in ((0, "p", "shared"), (11, "emitted", "more-p")):
            wide = BARS * row[key] / most
            shapes.append(svg.box(LEFT, top + down, wide, 9, kind))
            shapes.append(svg.text(LEFT + wide + 5, top + down + 9, f"{row[key]:.3f}", "small"))
    title = f"{bug['name']}: the target's distribution and what is emitted, by outcome"
    return svg.drawing(WIDTH, 28 + ROW * len(bug["outcomes"]), title, shapes)
