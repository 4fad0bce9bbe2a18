"""python -m tests.judge.scored_run [servers] [detection] [alarms] [--json FILE]: what
`http.scored-law` does, measured.

    servers     real servers of this project on loopback, whose speculation leans towards the draft
                by a known TV, put to the whole check: tokens and requests until the conviction; and
                right ones, which must not be convicted
    detection   the same bets on texts of a written-down model, many runs for each fault and TV
    alarms      false alarms of right runs, 200 at alpha .05 and at 1e-6, of the same model, with
                probabilities as they are, and rounded to bfloat16

Parts that FILE holds already and that are not run now are kept; `commits` says when each was made.
Not part of `make test`: about half an hour on one core.
"""

import argparse
import json
import math
import statistics
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import specref
import torch
from specref.chance import Chance
from specref.cli.results import source_commit, write_result
from specref.data import Draft
from specref.data import Verdict as Judged
from specref.draft.base import Drafter
from specref.draft.model import ModelDrafter
from specref.draft.none import NoDrafter
from specref.judge import contract
from specref.judge.schedule import judge
from specref.judge.session import ALPHA, Session
from specref.judge.suite import checks
from specref.judge.verdict import Verdict
from specref.model.checkpoint import load
from specref.model.tokenizer import Bytes
from specref.model.transformer import Transformer
from specref.serve import ServingEngine, ServingSettings
from specref.serve.http_server import CompletionServer
from specref.stats.betting import Bettor
from specref.stats.scored_texts import ScoredBatch, ScoredShape, read_scored, scored_questions
from specref.verify import Rule
from specref.verify.rejection import rejection
from torch import Tensor

CHECK = "http.scored-law"
SHARES = sum(item.statistical for item in checks("http"))  # among which ALPHA is divided
RUN_ALPHA = ALPHA / SHARES
NAMED, ROWS, PLACES, V = 20, 32, 256, 256
FEW_ROWS = 8  # texts of a call where the tokens until a conviction are counted
SEEDS = 8  # runs of each fault
MOST = 120_000  # tokens of a run
WORKERS = 2
RIGHT_RUNS, RIGHT_CALLS, SCALE = 200, 4, 0.05
SERVER_BUDGET = 900.0
# name -> (towards what the text leans, the TV, whether the bets know the draft)
FAULTS: dict[str, tuple[str, float, bool]] = {
    "towards the draft, .1": ("draft", 0.1, True),
    "towards the draft, .05": ("draft", 0.05, True),
    "towards the draft, .02": ("draft", 0.02, True),
    "towards the draft, .05, draft not given": ("draft", 0.05, False),
    "away from the draft, .05": ("away", 0.05, True),
    "sharper, .05": ("sharper", 0.05, False),
    "towards the token before, .05": ("repeat", 0.05, False),
    "one direction for each token before, .05": ("context", 0.05, True),
    "one direction for each whole text, .05": ("text", 0.05, True),
}


class MarkovTexts:
    """A target and a draft, each by the token before, in probabilities of a real vocabulary's
    shape: the 20 likeliest tokens have nine tenths. fault: a key of FAULTS, or "" for a right
    engine.
    """

    def __init__(self, fault: str, seed: int):
        self.g = torch.Generator().manual_seed(seed)
        world = torch.Generator().manual_seed(11)
        scores = 3 * torch.randn(V, V, generator=world, dtype=torch.float64)
        other = torch.randn(V, V, generator=world, dtype=torch.float64)
        self.p, self.q = scores.softmax(1), (scores + other).softmax(1)
        self.signs = torch.randn(V, V, generator=world, dtype=torch.float64).sign()
        self.kind, self.tv, self.knows = FAULTS.get(fault, ("", 0.0, True))
        self.written = self._written() if self.kind not in ("", "text") else self.p
        self.calls = 0

    @property
    def shape(self) -> ScoredShape:
        return ScoredShape(NAMED, ROWS, PLACES, 16, self.knows)

    def batch(self, rows: int, rounded: bool = False) -> ScoredBatch:
        """One call's texts. rounded: the reports are bfloat16 log probabilities."""
        last = torch.randint(V, (rows,), generator=self.g)
        before = [[int(token)] for token in last]
        names = torch.zeros(rows, PLACES, NAMED, dtype=torch.int64)
        p, q = torch.zeros(2, rows, PLACES, NAMED, dtype=torch.float64)
        tokens = torch.zeros(rows, PLACES, dtype=torch.int64)
        for place in range(PLACES):
            best = self.p[last].topk(NAMED)
            names[:, place], p[:, place] = best.indices, best.values
            q[:, place] = self.q[last].gather(1, best.indices)
            last = torch.multinomial(self._law(last), 1, generator=self.g)[:, 0]
            tokens[:, place] = last
        if rounded:
            p = p.log().bfloat16().double().exp()
        self.calls += 1
        lengths = torch.full((rows,), PLACES)
        prompt = torch.arange(rows) % 16
        known = q if self.knows else None
        # a bfloat16 number has a relative error of 2^-9 at most; of a log, times the log
        slack = 0.02 if rounded else 1e-5
        return ScoredBatch(names, p, known, tokens, lengths, before, prompt, slack)

    def _law(self, last: Tensor) -> Tensor:
        if self.kind != "text":
            return self.written[last]
        # fresh signs at every place: no text recurs
        signs = torch.randn(len(last), V, generator=self.g, dtype=torch.float64).sign()
        return leaning(self.p[last], signs, self.tv)

    def _written(self) -> Tensor:
        if self.kind == "context":
            return leaning(self.p, self.signs, self.tv)
        if self.kind == "sharper":
            return leaning(self.p, self.p.log().clamp(min=-12), self.tv)
        if self.kind == "repeat":
            return leaning(self.p, torch.eye(V, dtype=torch.float64), self.tv)
        mixed = self.q - self.p  # [V,V]
        here = self._often()
        far = float((here * mixed.abs().sum(1) / 2).sum())
        share = self.tv / far if self.kind == "draft" else -self.tv / far
        written = (self.p + share * mixed).clamp(min=0)
        return written / written.sum(1, keepdim=True)

    def _often(self) -> Tensor:
        """[V]: how often each token comes, in the long run."""
        here = torch.full((V,), 1 / V, dtype=torch.float64)
        for _ in range(50):
            here = here @ self.p
        return here


def leaning(p: Tensor, h: Tensor, tv: float) -> Tensor:
    """p exp(theta h) / Z of a mean TV over the rows, by bisection; the largest that there is."""
    low, high = 0.0, 30.0
    for _ in range(40):
        middle = (low + high) / 2
        weights = p * (middle * h).exp()
        law = weights / weights.sum(1, keepdim=True)
        far = float((law - p).abs().sum(1).mean() / 2)
        low, high = (middle, high) if far < tv else (low, middle)
    return law


def tokens_to_conviction(job: tuple[str, int]) -> int | None:
    """Tokens of a fresh run until it is convicted; None: not by MOST."""
    torch.set_num_threads(1)
    source = MarkovTexts(*job)
    bettor = Bettor(scored_questions(source.shape), RUN_ALPHA)
    while bettor.n < MOST:
        if bettor.update(read_scored(source.shape, source.batch(FEW_ROWS))):
            break
    return bettor.convicted_at


def detection() -> list[dict[str, Any]]:
    """One row a fault: tokens of each run (null: not by MOST), their median and their largest."""
    table = []
    for number, fault in enumerate(FAULTS):
        with ProcessPoolExecutor(WORKERS) as pool:
            tokens = list(pool.map(tokens_to_conviction, [(fault, i) for i in range(SEEDS)]))
        known = [math.inf if one is None else one for one in tokens]
        middle, most = statistics.median(known), max(known)
        row: dict[str, Any] = {"fault": fault, "tv": FAULTS[fault][1], "tokens": tokens}
        row["median"] = middle if math.isfinite(middle) else None
        row["most"] = most if math.isfinite(most) else None
        row["requests"] = math.ceil(middle / PLACES) if math.isfinite(middle) else None
        table.append(row)
        progress("detection", number + 1, len(FAULTS), f"{fault}: median {row['median']}")
    return table


def largest_wealth(job: tuple[bool, int]) -> float:
    """Of a right run: the largest log wealth, looked at after every call. job: whether reports are
    rounded, the seed.
    """
    torch.set_num_threads(1)
    rounded, seed = job
    source = MarkovTexts("", 5000 + seed)
    source.knows = seed % 2 == 0
    bettor = Bettor(scored_questions(source.shape), RUN_ALPHA)
    for _ in range(RIGHT_CALLS):
        bettor.update(read_scored(source.shape, source.batch(ROWS, rounded)))
        bettor.look()
    return bettor.largest


def alarms() -> list[dict[str, Any]]:
    """Right runs, half of them with a draft."""
    table = []
    for rounded in (False, True):
        with ProcessPoolExecutor(WORKERS) as pool:
            jobs = [(rounded, seed) for seed in range(RIGHT_RUNS)]
            wealth = list(pool.map(largest_wealth, jobs, chunksize=5))
        row = {
            "reports": "bfloat16, slack .02" if rounded else "float64, slack 1e-5",
            "runs": RIGHT_RUNS,
            "tokens": RIGHT_RUNS * RIGHT_CALLS * ROWS * PLACES,
            "at_0.05": sum(one >= -math.log(SCALE) for one in wealth),
            "at_1e-6": sum(one >= -math.log(ALPHA) for one in wealth),
            "largest": max(wealth),
        }
        table.append(row)
        progress("alarms", len(table), 2, str(row))
    return table


@dataclass
class Lean:
    """A rule that judges drafts by (1 - share) p + share q, and keeps count of how far that is.

    With it each drafted token's distribution is off by share TV(p, q), and the token after an
    accepted draft is right.
    """

    share: float
    far: list[float] = field(default_factory=list)  # TV of every token that came out

    def __call__(self, draft: Draft, p: Tensor, chance: Chance) -> Judged:
        if draft.q is None or not draft.q.shape[1]:
            return rejection(draft, p, chance)
        mixed = p.clone()  # [B,K+1,V]
        mixed[:, :-1] += self.share * (draft.q - p[:, :-1])
        judged = rejection(draft, mixed, chance)
        far = (mixed - p).abs().sum(2) / 2  # [B,K+1]
        places = torch.arange(p.shape[1])
        here = (draft.lengths[:, None] > places) | (places == judged.accepted[:, None])
        here &= places <= judged.accepted[:, None]
        drafted = draft.lengths[:, None] > places
        self.far += torch.where(drafted, far, 0.0)[here].tolist()
        return judged


@contextmanager
def served(model: Transformer, drafter: Drafter, rule: Rule) -> Iterator[str]:
    engine = ServingEngine(
        model, drafter, rule, ServingSettings(gamma=3, rows=32, blocks=1400, block_size=16)
    )
    server = CompletionServer(engine, Bytes())
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        server.server_close()


def models() -> tuple[Transformer, Transformer]:
    """The bundled model of one layer, as the target, and a noisy copy of it as the draft: as fast
    as a server that writes 100,000 tokens in minutes has to be.
    """
    folder = Path(specref.__file__).parent / "checkpoints" / "draft"
    target, draft = load(folder).float(), load(folder).float()
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in draft.parameters():
            weights.add_(torch.randn(weights.shape, generator=g) * weights.std() * 0.2)
    return target, draft


def judged(urls: tuple[str, str, str], seed: int) -> Verdict:
    """The check's last verdict."""
    subject = contract.Server()
    subject.url, subject.baseline, subject.draft = urls
    chosen = [item for item in checks("http") if item.id == CHECK]

    def tell(event: str, check: str, verdict: Verdict | None) -> None:
        if verdict is not None and sys.stderr.isatty():
            print(f"  {verdict.verdict} {verdict.what}", file=sys.stderr, flush=True)

    session = Session(subject.url, "http", seed, SERVER_BUDGET, mde=GOAL)
    return judge(subject, session, chosen, tell)[-1]


GOAL = 0.02  # a right server is asked until a lean of this TV would have been found
SERVED = ((0.1, 2), (0.05, 3), (0.02, 1), (0.0, 1))  # TV, and runs of it


def servers() -> list[dict[str, Any]]:
    """One row a run: the share of the draft that was planted, the mean TV that this came to, and
    what the check said."""
    target, draft = models()
    unit = far_apart(target, draft)
    table = []
    for tv, runs in SERVED:
        for seed in range(runs):
            lean = Lean(tv / unit)
            with (
                served(target, ModelDrafter(draft), lean) as fast,
                served(target, NoDrafter(), rejection) as plain,
                served(draft, NoDrafter(), rejection) as small,
            ):
                said = judged((fast, plain, small), seed)
            table.append(served_row(tv, seed, lean, said))
            progress("servers", len(table), sum(runs for _, runs in SERVED), str(table[-1]))
    return table


def served_row(tv: float, seed: int, lean: Lean, said: Verdict) -> dict[str, Any]:
    return {
        "wanted": tv,
        "seed": seed,
        "tv": statistics.mean(lean.far),
        "verdict": said.verdict,
        "tokens": said.n,
        "requests": math.ceil(said.n / PLACES),
        "seconds": said.seconds,
        "what": said.what,
        "reach": [[one.fault, one.tv] for one in said.reach],
    }


def far_apart(target: Transformer, draft: Transformer) -> float:
    """Mean TV of a text that leans wholly, per unit of a small lean: planted once, and counted."""
    lean = Lean(0.05)
    prompts = [[token] for token in b"abcdefgh def class import"]
    engine = ServingEngine(
        target,
        ModelDrafter(draft),
        lean,
        ServingSettings(gamma=3, rows=32, blocks=1400, block_size=16),
    )
    engine.generate(prompts, contract.SamplingParams(max_new_tokens=128, seed=1))
    return statistics.mean(lean.far) / lean.share


def progress(part: str, done: int, of: int, said: str) -> None:
    print(f"{part}: {done} of {of}, {said}", file=sys.stderr, flush=True)


def merged(path: Path | None, fresh: dict[str, Any]) -> dict[str, Any]:
    """Fresh parts beside those that the file holds, and the commit of each."""
    old = json.loads(path.read_text()) if path is not None and path.exists() else {}
    parts = {name: old[name] for name in PARTS if name in old} | fresh
    made_at = {name: old.get("commit") for name in parts} | old.get("commits", {})
    return parts | {"commits": made_at | dict.fromkeys(fresh, source_commit())}


PARTS: dict[str, Callable[[], Any]] = {
    "servers": servers,
    "detection": detection,
    "alarms": alarms,
}


def show(result: dict[str, Any]) -> None:
    """TV against tokens."""
    for row in result.get("servers", ()):
        print(
            f"server, TV {row['tv']:.4f}: {row['verdict']} after {row['tokens']:,} tokens"
            f" ({row['requests']} requests)"
        )
    for row in result.get("detection", ()):
        print(f"{row['fault']}: median {row['median']} tokens, at most {row['most']}")
    for row in result.get("alarms", ()):
        print(row)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.judge.scored_run", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--json", type=Path, help="where to write the result")
    options = parser.parse_args(arguments)
    unknown = set(options.parts) - PARTS.keys()
    if unknown:
        parser.error(f"no part is called {', '.join(sorted(unknown))}: give {', '.join(PARTS)}")
    torch.set_num_threads(1)
    result: dict[str, Any] = {}
    for name in options.parts or PARTS:
        result[name] = PARTS[name]()
        if options.json is not None:
            write_result(options.json, "scored", merged(options.json, result))
    show(result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
