"""python -m tests.judge.planted_run [--calls N] [--planted N]: what a run of engine.token-bets says
that it would have found, and how many planted faults of that size it finds.

A right engine writes the first calls of the check's own plan, and the reach of that run is
rehearsed. Then, for each class, the same calls are made of engines whose target is tilted by a
fresh fault of the class, of the stated mean TV; and of .5 of it. Not part of `make test`: some
minutes.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from specref.adapters.reference import Looped
from specref.judge.betting.calls import BET_WORLDS, CallPlan
from specref.judge.betting.reach import Rehearsal, every_class
from specref.judge.betting.surroundings import toy_of
from specref.judge.betting.text_bet import TextBet
from specref.judge.toys import toy
from specref.stats.rehearse import FaultClass, random_signs, tilt_of, tilted
from torch import Tensor

ALPHA = 1e-6 / 17  # a check's share of a run
SMALLER = 0.5
SPREAD = 1 << 14  # signs that a fault is drawn from: one for each group of its contexts
Law = Callable[[Tensor, Tensor, Tensor], Tensor]  # p [R,T,V], last tokens [R,T], positions [R,T]
CLASSES = {
    "table of token everywhere": FaultClass("table", "token"),
    "by previous token": FaultClass("table", "token", "previous token"),
    "by previous token and position": FaultClass("table", "token", "previous token and position"),
}


class Tilted(Looped):
    """Draws from law(p, last token, position) where the toy's target gives p."""

    law: Law | None = None

    def __init__(self, target: Path, draft: Path | None):
        super().__init__(target, draft)
        forward = self.target.forward
        if self.draft is self.target:
            self.draft = Looped(target, draft).target

        def wrong(tokens, cache=None, parents=None, counts=None):
            before = None if cache is None else cache.lengths.clone()
            out = forward(tokens, cache, parents, counts)
            if self.law is None or before is None:
                return out
            at = before[:, None] + torch.arange(tokens.shape[1]) + 1  # of the token behind each
            p = self.law(out.logits.double().softmax(-1), tokens, at)
            return type(out)(**{**vars(out), "logits": p.clamp(min=1e-300).log().float()})

        self.target.forward = wrong  # type: ignore[method-assign]


def run(engines: dict[str, Tilted], calls: int, law: Callable[[str], Law | None]) -> TextBet:
    """The first calls of the plan, those with parameters left out: a tilt of the logits is another
    one under them."""
    plan = CallPlan(lambda need: need in ("batch", "seed"), 0, lookup=False)
    bet = TextBet(BET_WORLDS, ALPHA)
    plan.settings = [{}]
    for _ in range(calls):
        planned = plan.next()
        engine = engines[planned.toy]
        engine.law = law(planned.toy)
        prompts, params = [list(prompt) for prompt, _ in planned.rows], [s for _, s in planned.rows]
        answers = engine.generate(prompts, params, speculative=True)
        assert bet.read(toy(planned.toy), planned.rows, answers) is None
    bet.bettor.look()
    return bet


def planted(bet: TextBet, fault: FaultClass, tv: float, salt: int) -> Callable[[str], Law | None]:
    """A fresh fault of a class whose mean TV in the run that was seen is tv."""
    around = bet.surroundings
    cells, g = around.folded, torch.Generator().manual_seed(salt)
    signs = random_signs((SPREAD, cells), g)  # [G,M]
    p = torch.cat([call.p["token"] for call in bet.calls])
    context = torch.cat([call.context[fault.context] for call in bet.calls]) % SPREAD
    theta = tilt_of(p, signs[context], tv)

    def of(name: str) -> Law:
        world = around.world(name)

        def law(p: Tensor, last: Tensor, position: Tensor) -> Tensor:
            before = last % cells + world * cells
            group = {
                "everywhere": torch.zeros_like(last),
                "previous token": before,
                "previous token and position": before * around.positions + position,
            }[fault.context]
            cell = torch.arange(p.shape[-1]) % cells
            h = signs[group % SPREAD][..., cell]  # [R,T,V]
            return tilted(p.flatten(0, 1), h.flatten(0, 1), theta).view_as(p)

        return law

    return of


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.judge.planted_run", description=__doc__)
    parser.add_argument("--calls", type=int, default=7, help="calls of a run")
    parser.add_argument("--planted", type=int, default=20, help="faults of each class and size")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        names = {toy_of(world).name for world in BET_WORLDS}
        engines = {name: Tilted(*toy(name).write(Path(folder) / name)) for name in names}
        bet = run(engines, options.calls, lambda name: None)
        rehearsal = Rehearsal(bet, 1, every_class(BET_WORLDS))
        print(f"right engine: {bet.bettor.n} tokens, log wealth {bet.bettor.latest:.1f}")
        while rehearsal.due:
            rehearsal.step()
        for one in rehearsal.reach:
            print(f"  {one.fault}: TV {one.tv}")
        for words, fault in CLASSES.items():
            tv = rehearsal.found[fault].tv
            for size in (1.0, SMALLER) if tv is not None else ():
                hits = 0
                for salt in range(options.planted):
                    law = planted(bet, fault, (tv or 0) * size, salt)
                    hits += run(engines, options.calls, law).bettor.rejected
                print(
                    f"{words}, TV {(tv or 0) * size:.3g}: {hits} of {options.planted}", flush=True
                )


if __name__ == "__main__":
    main()
