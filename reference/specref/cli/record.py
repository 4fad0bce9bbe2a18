"""Watching without touching: a chance that writes down what it was asked, and a rule that counts
what it decides.

Both wrap what they watch, so the loop and the rules know nothing of them, and the text is the same
with or without.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..chance import Chance
from ..data import Draft, Verdict
from ..decode import Cycle
from ..model.cache import depths
from ..verify import Rule


@dataclass(frozen=True)
class Question:
    """One question to chance, with its answer. A coin's distribution is its probability [B,K], a
    draw's is [B,V].
    """

    kind: str  # "accept" or "draw"
    distribution: Tensor
    asked: Tensor | None
    answer: Tensor  # [B,K] bool or [B] int64


class Recorded:
    """A chance that passes every question on and notes it."""

    def __init__(self, chance: Chance, questions: list[Question]):
        self.chance, self.questions = chance, questions

    def accept(self, probability: Tensor, asked: Tensor | None = None) -> Tensor:
        answer = self.chance.accept(probability, asked)
        self.questions.append(Question("accept", probability, asked, answer))
        return answer

    def draw(self, distribution: Tensor, asked: Tensor | None = None) -> Tensor:
        answer = self.chance.draw(distribution, asked)
        self.questions.append(Question("draw", distribution, asked, answer))
        return answer

    def rows(self, index: Sequence[int]) -> "Recorded":
        return Recorded(self.chance.rows(index), self.questions)


class Watched:
    """A rule that does what `rule` does and remembers: the questions of its last call, and counts
    over all calls.

    judged: drafted tokens whose fate was decided, which are the accepted ones and the first that
    was not; what stands behind that one was never looked at. In a tree, every node that was asked
    about. A stop inside an accepted run changes none of the counts.
    """

    def __init__(self, rule: Rule):
        self.rule = rule
        self.questions: list[Question] = []
        self.judged = self.accepted = 0

    def __call__(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        self.questions = []
        verdict = self.rule(draft, p, Recorded(chance, self.questions))
        accepted, lengths = verdict.accepted.cpu(), draft.lengths.cpu()
        self.accepted += int(accepted.sum())
        ahead = torch.arange(-1, draft.parents.shape[1] - 1, device=draft.parents.device)
        if bool(((draft.parents == ahead) | ~draft.valid).all()):
            self.judged += int(torch.minimum(accepted + 1, lengths).sum())
        else:
            self.judged += sum(
                int(q.asked.sum())
                for q in self.questions
                if q.kind == "accept" and q.asked is not None
            )
        return verdict


def describe(cycle: Cycle, questions: Sequence[Question]) -> dict[str, Any]:
    """One cycle of a single chain, in plain types: `trace` says what the keys mean."""
    draft, p = cycle.draft, cycle.p[0]
    length, accepted = int(draft.lengths[0]), int(cycle.verdict.accepted[0])
    coins = _coins(draft.tokens[0, :length].tolist(), questions)
    tokens = []
    for i, token in enumerate(draft.tokens[0, :length].tolist()):
        tokens.append(
            {
                "token": token,
                "q": 1.0 if draft.q is None else float(draft.q[0, i, token]),
                "p": float(p[i, token]),
                "coin": coins[i] if i < len(coins) else None,
                "choice": None if questions else int(p[i].argmax()),
                "fate": "accepted" if i < accepted else "rejected" if i == accepted else "dropped",
            }
        )
    token = int(cycle.verdict.next_token[0])
    following = {
        "token": token,
        "p": float(p[accepted, token]),
        "probability": _drawn_with(token, questions),
        "kind": "plain" if not length else "bonus" if accepted == length else "replacement",
    }
    return {
        "draft": tokens,
        "accepted": accepted,
        "next": following,
        "emitted": list(cycle.emitted[0]),
    }


def describe_tree(cycle: Cycle, questions: Sequence[Question]) -> dict[str, Any]:
    """One cycle of a single tree under the tree rule, which asks one coin a node; `trace` says what
    the keys mean.
    """
    draft, p = cycle.draft, cycle.p[0]
    length, accepted = int(draft.lengths[0]), int(cycle.verdict.accepted[0])
    parents, depth = draft.parents[0].tolist(), depths(draft.parents)[0].tolist()
    coins = [question for question in questions if question.kind == "accept"]
    nodes: list[dict[str, Any]] = []
    for i, token in enumerate(draft.tokens[0, :length].tolist()):
        asked = coins[i].asked
        reached = asked is None or bool(asked[0, 0])
        coin = (
            {
                "probability": float(coins[i].distribution[0, 0]),
                "heads": bool(coins[i].answer[0, 0]),
            }
            if reached
            else None
        )
        nodes.append(
            {
                "token": token,
                "parent": parents[i],
                "depth": depth[i],
                "q": 1.0 if draft.q is None else float(draft.q[0, i, token]),
                "p": float(p[parents[i] + 1, token]),
                "coin": coin,
                "fate": (
                    "never reached" if coin is None else "accepted" if coin["heads"] else "rejected"
                ),
            }
        )
    path = cycle.verdict.path[0, :accepted].tolist()
    end, token = path[-1] if path else -1, int(cycle.verdict.next_token[0])
    refused = any(node["parent"] == end and node["fate"] == "rejected" for node in nodes)
    following = {
        "token": token,
        "p": float(p[end + 1, token]),
        "probability": _drawn_with(token, questions),
        "kind": "plain" if not nodes else "replacement" if refused else "bonus",
    }
    return {
        "nodes": nodes,
        "path": path,
        "accepted": accepted,
        "next": following,
        "emitted": list(cycle.emitted[0]),
    }


def _coins(tokens: Sequence[int], questions: Sequence[Question]) -> list[dict[str, Any]]:
    """What decided each token's fate: a coin, or for `matching` the target's own draw."""
    coins = []
    for question in questions:
        # one question for all tokens, or one for each until a rejection
        if question.kind == "accept":
            asked = [True] * len(tokens) if question.asked is None else question.asked[0].tolist()
            coins += [
                {"probability": float(heads), "heads": bool(fell), "drawn": None}
                for heads, fell, here in zip(
                    question.distribution[0].tolist(),
                    question.answer[0].tolist(),
                    asked,
                    strict=False,
                )
                if here
            ]
    if coins:
        return coins
    draws = [q for q in questions if q.asked is None or bool(q.asked[0])]
    return [
        {
            "probability": _share(draw.distribution[0], token),
            "heads": int(draw.answer[0]) == token,
            "drawn": int(draw.answer[0]),
        }
        for draw, token in zip(draws, tokens, strict=False)
    ]


def _drawn_with(token: int, questions: Sequence[Question]) -> float | None:
    """The probability that the next token was drawn with; None where nothing was drawn."""
    draws = [q for q in questions if q.kind == "draw" and (q.asked is None or bool(q.asked[0]))]
    return _share(draws[-1].distribution[0], token) if draws else None


def _share(distribution: Tensor, token: int) -> float:
    return float(distribution[token].double() / distribution.double().sum())
