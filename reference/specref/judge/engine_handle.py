"""Engines on toy checkpoints, every call of them guarded, and speculation seen or not seen to
run.
"""

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

from ..data import SamplingParams
from .coerce import numbers, whole
from .contract import Completion, Engine, Metrics
from .load import NotLoadedError, has, misnamed
from .session import MisbehavedError, Session
from .suite import Run, check
from .toys import Toy, toy
from .verdict import Verdict

_OPEN = 6  # engines held at a time
_TOGETHER = 64  # rows of a deterministic check's call at most
EngineRow = tuple[Sequence[int], SamplingParams]


class EngineHandle:
    """One engine on one toy. Few are held open at a time: one that was closed meanwhile is made
    again when it is asked.
    """

    def __init__(self, engine: type[Engine], subject: Toy, lookup: bool, session: Session):
        self.engine, self.toy, self.lookup, self.session = engine, subject, lookup, session
        self.made()

    def has(self, capability: str) -> bool:
        return has(self.made(), capability)

    def made(self) -> Engine:
        """The engine itself.

        Errors:
            NotLoadedError where the first engine of a run cannot be made; later ones raise what
                they raise.
        """
        held: dict[tuple[str, bool], Engine] = self.session.kept.setdefault("engines", {})
        key = (self.toy.name, self.lookup)
        if key in self.session.kept.get("raised", ()):
            self.session.kept["raised"].remove(key)
            if key in held:
                _close(held.pop(key), self.session)
        if key in held:
            held[key] = held.pop(key)  # the latest comes last
            return held[key]
        while len(held) >= _OPEN:
            _close(held.pop(next(iter(held))), self.session)
        folder: Any = self.session.once(
            "folder", lambda: tempfile.TemporaryDirectory(prefix="specref-toys-")
        )
        target, draft = self.session.once(
            f"toy {self.toy.name}", lambda: self.toy.write(Path(folder.name) / self.toy.name)
        )
        try:
            with self.session.calling(f"__init__, toy {self.toy.name}"):
                held[key] = self.engine(target, None if self.lookup else draft)
        except (Exception, SystemExit) as error:
            if not self.session.kept.get("loaded"):
                raise NotLoadedError(
                    f"the engine cannot be made: {type(error).__name__}: "
                    f"{' '.join(str(error).split())[:300]}"
                ) from error
            raise
        if wrong := misnamed(held[key]):
            raise NotLoadedError(wrong)
        self.session.kept["loaded"] = True
        return held[key]

    def renew(self) -> None:
        """The next call is answered by an engine that was just made."""
        self.session.kept.setdefault("raised", set()).add((self.toy.name, self.lookup))

    def answers(
        self, rows: Sequence[EngineRow], speculative: bool = True, together: int = _TOGETHER
    ) -> list[Completion]:
        """One completion a row. Engines without batches are asked row by row; no rows at all are
        one call."""
        if not rows:
            return self._call(rows, speculative)
        size = together if self.has("batch") else 1
        return [
            done
            for first in range(0, len(rows), size)
            for done in self._call(rows[first : first + size], speculative)
        ]

    def _call(self, rows: Sequence[EngineRow], speculative: bool) -> list[Completion]:
        prompts, params = [list(prompt) for prompt, _ in rows], [s for _, s in rows]
        one = params[0] if params and all(s is params[0] for s in params) else None
        given, biases = [list(prompt) for prompt in prompts], [dict(s.logit_bias) for s in params]
        what = (
            f"generate, {len(rows)} prompts, {'' if speculative else 'not '}speculative, toy"
            f" {self.toy.name}"
        )
        engine = self.made()
        try:
            with self.session.calling(what):
                out = engine.generate(given, one or list(params), speculative=speculative)
        # it may be left in any state, and the next check is to judge a whole one
        except (Exception, SystemExit):
            self.session.kept.setdefault("raised", set()).add((self.toy.name, self.lookup))
            raise
        if given != prompts or biases != [s.logit_bias for s in params]:
            raise MisbehavedError(
                "generate changes the prompts or the parameters that it is given: work on a copy"
            )
        listed = self._list(out, len(rows))
        texts = [
            self._tokens(answer, f"completion {number}") for number, answer in enumerate(listed)
        ]
        _refuse_prompts(texts, rows)
        done = [
            self._answer(answer, text, f"completion {number}")
            for number, (answer, text) in enumerate(zip(listed, texts, strict=True))
        ]
        if speculative:
            seen = self.session.kept.setdefault("drafted", {})
            drafted = sum(d.metrics.drafted for d in done if d.metrics)
            seen[self.session.check] = seen.get(self.session.check, 0) + drafted
        return done

    def _list(self, out: object, count: int) -> Sequence[object]:
        if not isinstance(out, list | tuple):
            raise MisbehavedError(
                f"generate returns a {type(out).__name__}: return a list of {count} completions"
            )
        if len(out) != count:
            raise MisbehavedError(
                f"generate returns {len(out)} completions for {count} prompts: return one for each"
            )
        return out

    def _tokens(self, done: Any, place: str) -> list[int]:
        """The tokens of a completion, if it is one."""
        for name in ("tokens", "finish_reason"):
            if not hasattr(done, name):
                raise MisbehavedError(
                    f"{place} is a {type(done).__name__} without {name}: return contract.Completion"
                )
        tokens = whole(done.tokens, f"{place} has as tokens", "a list of ints")
        if tokens.dim() != 1:
            raise MisbehavedError(
                f"{place} has tokens of the shape {list(tokens.shape)}: return those of one"
                " text, [N]"
            )
        wrong = tokens[(tokens < 0) | (tokens >= self.toy.vocabulary)]
        if len(wrong):
            raise MisbehavedError(
                f"{place} holds token {int(wrong[0])}, outside 0..{self.toy.vocabulary - 1}"
            )
        return tokens.tolist()

    def _answer(self, done: Any, tokens: list[int], place: str) -> Completion:
        """The whole completion; of what the engine does not support nothing is looked at."""
        if done.finish_reason not in ("stop", "length"):
            raise MisbehavedError(
                f"{place} has finish_reason {done.finish_reason!r}: say 'stop' or 'length'"
            )
        logprobs, metrics = None, None
        if self.has("metrics"):
            metrics = _metrics(getattr(done, "metrics", None), place)
        if self.has("logprobs"):
            said = numbers(
                getattr(done, "logprobs", None), f"{place} has as logprobs", "a list of floats"
            )
            logprobs = said.double().tolist()
            if said.shape != (len(tokens),) or any(math.isnan(x) for x in logprobs):
                raise MisbehavedError(
                    f"{place} has the logprobs {logprobs[:8]} for {len(tokens)} tokens: return a"
                    " number for each"
                )
        return Completion(tokens, done.finish_reason, logprobs, metrics)


def _refuse_prompts(texts: Sequence[list[int]], rows: Sequence[EngineRow]) -> None:
    """Where every text begins with its prompt and is too long for that, the prompts were given back
    too.
    """
    if rows and all(
        len(text) > params.max_new_tokens and text[: len(prompt)] == list(prompt)
        for text, (prompt, params) in zip(texts, rows)
    ):
        raise MisbehavedError("completion 0 begins with its prompt: return the new tokens alone")


def _metrics(metrics: Any, place: str) -> Metrics:
    """Whole counts; target_steps may be None."""
    if not all(hasattr(metrics, name) for name in ("target_steps", "drafted", "accepted")):
        raise MisbehavedError(f"{place} has the metrics {metrics!r}: return contract.Metrics")

    def count(name: str) -> int:
        given = getattr(metrics, name)
        number = whole(given, f"{place} has as metrics.{name}", "a count")
        if number.numel() != 1 or int(number) < 0:
            raise MisbehavedError(
                f"{place} has as metrics.{name} {given!r}: return a count, 0 or more"
            )
        return int(number)

    steps = None if metrics.target_steps is None else count("target_steps")
    return Metrics(steps, count("drafted"), count("accepted"))


def asked(engine: type[Engine], session: Session, name: str, lookup: bool = False) -> EngineHandle:
    """The engine on a toy. lookup: without a draft model."""
    return EngineHandle(engine, toy(name), lookup or getattr(engine, "own_draft", False), session)


def let_go(session: Session) -> None:
    """Close all engines and connections of a run and remove its checkpoints."""
    if close := getattr(session.kept.pop("http", None), "close", None):
        close()
    for one in session.kept.pop("engines", {}).values():
        with suppress(Exception):  # all checks are over
            _close(one, session)
    if folder := session.kept.pop("folder", None):
        folder.cleanup()


def _close(engine: Engine, session: Session) -> None:
    if close := getattr(engine, "close", None):
        with session.calling("close"):
            close()


def engine_check(
    name: str,
    *,
    since: str = "0.1",
    distribution: bool = False,
    statistical: bool = False,
    needs: tuple[str, ...] = (),
) -> Callable[[Run], Run]:
    """Register a check of speculation: where none was seen to run in it, a PASS is UNVERIFIED."""

    def register(run: Run) -> Run:
        @wraps(run)
        def seen(engine: type[Engine], session: Session) -> Iterator[Verdict]:
            for verdict in run(engine, session):
                drafted = session.kept.get("drafted", {}).get(session.check, 0)
                if verdict.verdict == "PASS" and not drafted:
                    why = (
                        "its metrics count no drafted token"
                        if has(engine, "metrics")
                        else 'it reports no metrics: support "metrics"'
                    )
                    verdict = replace(
                        verdict,
                        verdict="UNVERIFIED",
                        what=f"{verdict.what}; speculation was not seen to run: {why}",
                    )
                yield verdict

        return check(
            name,
            since=since,
            distribution=distribution,
            statistical=statistical,
            needs=("generate", *needs),
        )(seen)

    return register
