"""Record a generation without changing it: a chance that notes every question, a rule that counts
its decisions, and one cycle in plain types.

The chance and the rule are wrappers, so the loop and the rules know nothing of them, and the text
is the same with and without.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...chance import Chance
from ...data import Draft, Verdict
from ...decode import Cycle
from ...model.tree import depths
from ...verify import Rule


@dataclass(frozen=True)
class ChanceQuestion:
    """One question to chance, with its answer. A coin's distribution is its probability [B,K], a
    draw's is [B,V].
    """

    kind: str  # "accept" or "draw"
    distribution: Tensor
    asked: Tensor | None
    answer: Tensor  # [B,K] bool or [B] int64


class RecordedChance:
    """A chance that passes every question on and notes it."""

    def __init__(self, chance: Chance, questions: list[ChanceQuestion]):
        self.chance, self.questions = chance, questions

    def accept(self, probability: Tensor, asked: Tensor | None = None) -> Tensor:
        answer = self.chance.accept(probability, asked)
        self.questions.append(ChanceQuestion("accept", probability, asked, answer))
        return answer

    def draw(self, distribution: Tensor, asked: Tensor | None = None) -> Tensor:
        answer = self.chance.draw(distribution, asked)
        self.questions.append(ChanceQuestion("draw", distribution, asked, answer))
        return answer

    def rows(self, index: Sequence[int]) -> "RecordedChance":
        return RecordedChance(self.chance.rows(index), self.questions)


class WatchedRule:
    """A rule that does what `rule` does, and remembers the questions of its last call and counts
    over all calls.

    judged: drafted tokens that the rule decided: in a chain the accepted ones and the first
    rejected one, in a tree every node that was asked about. A stop inside an accepted run changes
    no count.
    """

    def __init__(self, rule: Rule):
        self.rule = rule
        self.questions: list[ChanceQuestion] = []
        self.judged = self.accepted = 0

    def __call__(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        self.questions = []
        verdict = self.rule(draft, p, RecordedChance(chance, self.questions))
        accepted, lengths = verdict.accepted.cpu(), draft.lengths.cpu()
        self.accepted += int(accepted.sum())
        ahead = torch.arange(-1, draft.parents.shape[1] - 1, device=draft.parents.device)
        if bool(((draft.parents == ahead) | ~draft.valid).all()):
            self.judged += int(torch.minimum(accepted + 1, lengths).sum())
        else:
            coins = [q.asked for q in self.questions if q.kind == "accept"]
            self.judged += sum(int(asked.sum()) for asked in coins if asked is not None)
        return verdict


def describe_chain(cycle: Cycle, questions: Sequence[ChanceQuestion]) -> dict[str, Any]:
    """One cycle of a single chain, in plain types; `specref trace --help` says what the keys
    mean.
    """
    draft, p = cycle.draft, cycle.p[0]
    length, accepted = int(draft.lengths[0]), int(cycle.verdict.accepted[0])
    drafted = draft.tokens[0, :length].tolist()
    coins = _coins(drafted, questions)
    coins += [None] * (length - len(coins))
    tokens = []
    for i, token in enumerate(drafted):
        tokens.append(
            {
                "token": token,
                "q": _draft_probability(cycle, i),
                "p": float(p[i, token]),
                "coin": coins[i],
                "choice": None if questions else int(p[i].argmax()),
                "fate": _chain_fate(i, accepted),
            }
        )
    following = _following(cycle, accepted, questions, accepted < length)
    return {"draft": tokens} | _outcome(cycle, following)


def describe_tree(cycle: Cycle, questions: Sequence[ChanceQuestion]) -> dict[str, Any]:
    """One cycle of a single tree under the tree rule, which asks one coin a node; `specref trace
    --help` says what the keys mean.
    """
    draft, p = cycle.draft, cycle.p[0]
    length, accepted = int(draft.lengths[0]), int(cycle.verdict.accepted[0])
    parents, depth = draft.parents[0].tolist(), depths(draft.parents)[0].tolist()
    coins = [question for question in questions if question.kind == "accept"]
    nodes: list[dict[str, Any]] = []
    for i, token in enumerate(draft.tokens[0, :length].tolist()):
        coin = _node_coin(coins[i])
        nodes.append(
            {
                "token": token,
                "parent": parents[i],
                "depth": depth[i],
                "q": _draft_probability(cycle, i),
                "p": float(p[parents[i] + 1, token]),
                "coin": coin,
                "fate": _node_fate(coin),
            }
        )
    path = cycle.verdict.path[0, :accepted].tolist()
    end = path[-1] if path else -1
    refused = any(node["parent"] == end and node["fate"] == "rejected" for node in nodes)
    following = _following(cycle, end + 1, questions, refused)
    return {"nodes": nodes, "path": path} | _outcome(cycle, following)


def _outcome(cycle: Cycle, following: dict[str, Any]) -> dict[str, Any]:
    return {
        "accepted": int(cycle.verdict.accepted[0]),
        "next": following,
        "emitted": list(cycle.emitted[0]),
    }


def _draft_probability(cycle: Cycle, i: int) -> float:
    """q of drafted token i; 1 where it was proposed with certainty."""
    if cycle.draft.q is None:
        return 1.0
    return float(cycle.draft.q[0, i, int(cycle.draft.tokens[0, i])])


def _chain_fate(i: int, accepted: int) -> str:
    if i < accepted:
        return "accepted"
    return "rejected" if i == accepted else "dropped"


def _node_fate(coin: dict[str, Any] | None) -> str:
    if coin is None:
        return "never reached"
    return "accepted" if coin["heads"] else "rejected"


def _node_coin(question: ChanceQuestion) -> dict[str, Any] | None:
    """The coin of a tree's node; None where it was not flipped."""
    if question.asked is not None and not bool(question.asked[0, 0]):
        return None
    return {
        "probability": float(question.distribution[0, 0]),
        "heads": bool(question.answer[0, 0]),
    }


def _following(
    cycle: Cycle, row: int, questions: Sequence[ChanceQuestion], refused: bool
) -> dict[str, Any]:
    """The token after the accepted ones. row: of p, where it was drawn; refused: a token there was
    rejected.
    """
    token, kind = int(cycle.verdict.next_token[0]), "bonus"
    if not int(cycle.draft.lengths[0]):
        kind = "plain"
    elif refused:
        kind = "replacement"
    draws = [q for q in questions if q.kind == "draw" and _was_asked(q)]
    return {
        "token": token,
        "p": float(cycle.p[0, row, token]),
        "probability": _share(draws[-1].distribution[0], token) if draws else None,
        "kind": kind,
    }


def _was_asked(question: ChanceQuestion) -> bool:
    return question.asked is None or bool(question.asked[0])


def _coins(
    tokens: Sequence[int], questions: Sequence[ChanceQuestion]
) -> list[dict[str, Any] | None]:
    """What decided each token's fate: a coin, or for `matching` the target's own draw."""
    coins: list[dict[str, Any] | None] = []
    # one question for all tokens, or one for each until a rejection
    for question in questions:
        if question.kind == "accept":
            coins += _flipped(question, len(tokens))
    if coins:
        return coins
    draws = [one for one in questions if one.kind == "draw" and _was_asked(one)]
    for draw, token in zip(draws, tokens, strict=False):
        drawn = int(draw.answer[0])
        probability = _share(draw.distribution[0], token)
        coins.append({"probability": probability, "heads": drawn == token, "drawn": drawn})
    return coins


def _flipped(question: ChanceQuestion, count: int) -> list[dict[str, Any]]:
    """The coins of one question that were asked for, of `count` tokens at most."""
    asked = [True] * count if question.asked is None else question.asked[0].tolist()
    probabilities, answers = question.distribution[0].tolist(), question.answer[0].tolist()
    coins = []
    for heads, fell, here in zip(probabilities, answers, asked, strict=False):
        if here:
            coins.append({"probability": float(heads), "heads": bool(fell), "drawn": None})
    return coins


def _share(distribution: Tensor, token: int) -> float:
    return float(distribution[token].double() / distribution.double().sum())
