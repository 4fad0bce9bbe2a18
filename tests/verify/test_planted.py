"""One planted mistake in each rule: enumeration on two small worlds sees it.

Protects: that the exact tests of this folder can fail. Each edit must fit its file once.
"""

import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest
import specref.verify
import torch
from specref.data import Draft
from specref.exact.enumerate import distributions, total_variation

HOME = Path(specref.verify.__file__).parent
P = torch.tensor([[0.5, 0.2, 0.3], [0.1, 0.6, 0.3]], dtype=torch.float64)
Q = torch.tensor([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1]], dtype=torch.float64)
ONE, CHAIN, FAN, TREE = [-1], [-1, 0], [-1, -1], [-1, -1, 0, 1]

# rule -> file, parents of its draft, the right text, the wrong one
PLANTED = {
    "gumbel: residual of rejection sampling": (
        "gumbel.py",
        CHAIN,
        "other = p[:, i] * gain.clamp(min=0)",
        "other = (p[:, i] - q_at(draft, node, p)).clamp(min=0)",
    ),
    "gumbel: accepts as rejection sampling does": (
        "gumbel.py",
        CHAIN,
        "same = 1 / mass.gather(1, x)",
        "same = (p[:, i] / q_at(draft, node, p)).gather(1, x).clamp(max=1)",
    ),
    "naive: after no match draws again": (
        "naive.py",
        FAN,
        "torch.zeros_like(p).scatter_(1, token[:, None], 1)",
        "p",
    ),
    "k_sequential: one threshold too low": (
        "k_sequential.py",
        FAN,
        "rho = _threshold(p, q, k)[:, None]",
        "rho = 0.9 * _threshold(p, q, k)[:, None]",
    ),
    "k_sequential: residual of one candidate": (
        "k_sequential.py",
        FAN,
        "residual(p, common * each[:, None])",
        "residual(p, common)",
    ),
    "canonical: judged against q, not against p_I": (
        "canonical.py",
        FAN,
        "ratio = (p.gather(1, token) / picked.gather(1, token)).clamp(max=1)",
        "ratio = (p.gather(1, token) / q.gather(1, token)).clamp(max=1)",
    ),
    "canonical: the loser of the pair is judged": (
        "canonical.py",
        FAN,
        "differ & ~stays, second",
        "differ & stays, second",
    ),
    "traversal: the weight does not fall": (
        "traversal.py",
        TREE,
        "put(weight, above, fell, lost)",
        "pass",
    ),
    "traversal: residual without the weight": (
        "traversal.py",
        TREE,
        "weight[:, None] * target - q",
        "target - q",
    ),
    "walk: residual of the context everywhere": (
        "walk.py",
        ONE,
        "pick(p, node + 1), rest)",
        "p[:, 0], rest)",
    ),
}


def edited(file: str, old: str, new: str) -> ModuleType:
    """The module with one edit, beside the right one; `walk` is put under `naive`."""
    text = (HOME / file).read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} fits {text.count(old)} places of {file}"
    name = f"specref.verify.{Path(file).stem}"
    spec = spec_from_loader(name, None)
    assert spec is not None
    module = module_from_spec(spec)
    module.__package__ = "specref.verify"
    exec(compile(text.replace(old, new), file, "exec"), module.__dict__)
    return module


def first_two_tokens(rule: Callable, parents: list[int]) -> dict:
    """The distribution of two tokens: one cycle, continued from p, which turns with the context."""

    def row(table: torch.Tensor, last: torch.Tensor | None, count: int) -> torch.Tensor:
        if last is None:
            return table[0].expand(count, 3)
        return table[last % 2]

    def program(chance, root):
        rows = len(root)
        tokens: list[torch.Tensor] = []
        p, q = [row(P, None, rows)], []
        for parent in parents:
            before = None if parent < 0 else tokens[parent]
            q.append(row(Q, before, rows))
            tokens.append(chance.draw(q[-1]))
            p.append(row(P, tokens[-1], rows))
        draft = Draft(
            torch.stack(tokens, 1),
            torch.tensor(parents).expand(rows, -1),
            torch.stack(q, 1),
            torch.full((rows,), len(parents)),
        )
        texts = rule(draft, torch.stack(p, 1), chance).emitted(draft)
        last = torch.tensor([text[-1] for text in texts])
        after = chance.draw(row(P, last, rows))
        return [(*text, int(more))[:2] for text, more in zip(texts, after, strict=True)]

    return distributions(program, 1)[0]


TARGET = {(x, y): float(P[0, x] * P[x % 2, y]) for x in range(3) for y in range(3)}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_mistake_is_seen(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file, parents, old, new = PLANTED[what]
    name = what.partition(":")[0].replace("walk", "naive")
    assert total_variation(first_two_tokens(getattr(specref.verify, name), parents), TARGET) < 1e-12
    module = edited(file, old, new)
    if file == "walk.py":
        monkeypatch.setattr(sys.modules["specref.verify.naive"], "walk", module.walk)
        rule = sys.modules["specref.verify.naive"].naive
    else:
        rule = getattr(module, name)
    assert total_variation(first_two_tokens(rule, parents), TARGET) > 1e-4


def test_every_research_rule_has_one() -> None:
    names = {what.partition(":")[0] for what in PLANTED}
    assert {*specref.verify.RESEARCH_RULES} <= names
