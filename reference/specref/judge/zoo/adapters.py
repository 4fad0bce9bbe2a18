"""Adapters: they put planted bugs and controls behind the contract, so that the judge meets them as
it meets any engine.
"""

from typing import Any

from torch import Tensor

from ...adapters.reference import InjectableRule, RuleKernel, Tree
from ...chance import Chance
from ...data import Draft, Verdict
from ...verify import Rule
from ...verify.matching import matching
from ...verify.rejection import rejection
from ...verify.tree import tree
from ..contract import Kernel
from ..subjects import RuleStep, drawn
from ..tree_subjects import TreeStep, anew, best, without
from .http_bugs import BASELINES
from .toy_server import Service, Target, ToyServer


class Stepped(RuleKernel):
    """A step's rule as a kernel; the judge draws the drafts."""

    def __init__(self, rule: Rule):
        self.rule = rule

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        return self.rule(draft, p, chance)


class SteppedInjectable(InjectableRule):
    """A rule that first asks for all its coins at once and then for one draw. So uniforms can be
    injected.
    """

    def __init__(self, rule: Rule):
        self.rule = rule

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        return self.rule(draft, p, chance)


class SteppedTree(Tree):
    """A tree step's rule as a kernel for trees. It has no verification of chains of its own."""

    def __init__(self, rule: Rule):
        self.rule = rule

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        return self.rule(draft, p, chance)


def adapter(subject: Any) -> Any:
    """The adapter through which the judge can meet a subject: an instance of Kernel, or a server
    that is not started yet. None where the bug cannot show there: a wrong draft, for example, does
    not show in a kernel.
    """
    if isinstance(subject, RuleStep):
        asks_in_turn = subject.rule in (matching, tree)
        return (
            None
            if subject.propose is not drawn
            else (Stepped if asks_in_turn else SteppedInjectable)(subject.rule)
        )
    if isinstance(subject, TreeStep):
        ours = subject.guess in (anew, without, best) and subject.order is TreeStep().order
        return SteppedTree(subject.rule) if ours and subject.rule is not rejection else None
    if isinstance(subject, type) and issubclass(subject, Kernel):
        return subject()
    if isinstance(subject, type) and issubclass(subject, Service):
        return ToyServer(subject, BASELINES.get(subject, Target))
    return None
