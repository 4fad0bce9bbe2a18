"""What is claimed of each rule, and the draft that it is compared on."""

from dataclasses import dataclass

from ...verify import (
    LossyEnsemble,
    LossyFly,
    LossyMedusaTypical,
    LossyRelaxed,
    LossySynthetic,
    LossyTypical,
    Rule,
    block,
    canonical,
    greedy,
    gumbel,
    k_sequential,
    matching,
    naive,
    rejection,
    traversal,
    tree,
)
from .own_cut import CutByOwnToken
from .worlds import CHAIN, PAIR, PAIR_APART, DraftShape

LOSSLESS, LOSSY = "lossless", "lossy"


@dataclass(frozen=True)
class ClaimedRule:
    """A rule and its claim. greedy: the claim is about the text at temperature 0. source: who
    claims it.
    """

    name: str
    rule: Rule
    shape: DraftShape
    claim: str
    source: str
    greedy: bool = False


CLAIMED_RULES = (
    ClaimedRule("rejection", rejection, CHAIN, LOSSLESS, "Leviathan 2023, Chen 2023"),
    ClaimedRule("block", block, CHAIN, LOSSLESS, "Sun 2024"),
    ClaimedRule("Gumbel coupling", gumbel, CHAIN, LOSSLESS, "Daliri 2024"),
    ClaimedRule("sampler match", matching, CHAIN, LOSSLESS, "engines"),
    ClaimedRule("greedy match", greedy, CHAIN, LOSSLESS, "Stern 2018", greedy=True),
    ClaimedRule("recursive rejection", tree, PAIR, LOSSLESS, "SpecInfer 2023"),
    ClaimedRule("recursive, no replacement", tree, PAIR_APART, LOSSLESS, "Sequoia 2024"),
    ClaimedRule("naive sampling", naive, PAIR, LOSSLESS, "SpecInfer 2023"),
    ClaimedRule("k-sequential", k_sequential, PAIR, LOSSLESS, "SpecTr 2023"),
    ClaimedRule("canonical decomposition", canonical, PAIR, LOSSLESS, "Khisti 2025"),
    ClaimedRule("traversal", traversal, PAIR, LOSSLESS, "Weng 2025"),
    ClaimedRule("traversal, no replacement", traversal, PAIR_APART, LOSSLESS, "Weng 2025"),
    ClaimedRule(
        "rejection, cut by own token",
        CutByOwnToken(0.3),
        CHAIN,
        LOSSLESS,
        "said of any draft length in TensorRT-LLM 17056",
    ),
)


def lossy_rules() -> list[ClaimedRule]:
    """Every lossy rule over its settings."""
    found: list[tuple[str, Rule, str]] = []
    for weight in (0.9, 0.7, 0.5, 0.3):
        found.append((f"ensemble, w {weight:g}", LossyEnsemble(weight), "DIVERSED 2026"))
    for epsilon in (0.5, 0.3, 0.09):
        found.append((f"typical, drawn, ε {epsilon:g}", LossyTypical(epsilon, 1.0), "ours"))
        medusa = LossyMedusaTypical(epsilon, 1.0)
        found.append((f"Medusa typical, ε {epsilon:g}", medusa, "Medusa 2024"))
    for threshold in (1.0, 0.6, 0.3):
        fly = LossyFly(threshold, window=1)
        found.append((f"FLy, window 1, h {threshold:g}", fly, "FLy 2025, vLLM"))
    for scale in (0.9, 0.6, 0.3):
        rates = (scale, scale**2, scale**3)
        found.append((f"synthetic, {scale:g} a token", LossySynthetic(rates), "vLLM"))
    rules = [ClaimedRule(name, rule, CHAIN, LOSSY, source) for name, rule, source in found]
    for delta in (0.1, 0.3, 0.5):
        name, rule = f"relaxed, δ {delta:g}", LossyRelaxed(15, delta)
        rules.append(ClaimedRule(name, rule, CHAIN, LOSSY, "TensorRT-LLM", greedy=True))
    return rules
