"""What of an engine's ways was found out at home: alone, just made, after short prompts. Where
right engines differ, speculation has to keep the engine's own way.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ...data import SamplingParams
from ..contract import Completion, Metrics
from ..expected import expected_distributions
from ..load import NotLoadedError
from ..params_oracle import Convention
from ..toys import scores, toy
from .oracle import places_of
from .scenario import TextCall, TextRequest

HOME_WORLD = "long-wide"
SAME = "long-same"  # the draft is the target
_PROMPT = (5, 3, 1, 2, 4)
_PENALISED = tuple((3, 1, 4, 1, 5, 2, 6, i) for i in range(6))
_SURE = 30.0  # log likelihood ratio
_LENGTHS = (17, 18, 19, 20, 20, 20)  # the same text cut at several places, and drafted three times
# asks a fresh engine in a world, with or without its draft model
AskFresh = Callable[[str, bool, TextCall], list[Completion]]


@dataclass(frozen=True)
class HomeAcceptance:
    """At home with the draft that is the target."""

    wasted: float  # drafted tokens that were not accepted, a step
    gained: float  # tokens a step; 0: it varies from text to text, so nothing is asked
    longest: int  # tokens of a draft


@dataclass
class Home:
    """An engine's conventions, each found out when it is first asked for."""

    ask: AskFresh
    has: Callable[[str], bool]
    own_draft: bool
    found: dict[Any, Any] = field(default_factory=dict)

    def _once(self, key: Any, find: Callable[[], Any]) -> Any:
        if key not in self.found:
            self.found[key] = find()
        return self.found[key]

    @property
    def counts_prompt(self) -> bool:
        """Whether the plain text's presence and frequency penalties look at the prompt too."""
        return self.has("penalties") and bool(self._once("penalties", self._counts_prompt))

    def _counts_prompt(self) -> bool:
        params = SamplingParams(temperature=0.0, presence_penalty=1.5, max_new_tokens=10)
        rows = [TextRequest(prompt, params) for prompt in _PENALISED]
        done = self.ask(HOME_WORLD, True, TextCall(tuple(rows), speculative=False))
        whole = [[*one.prompt, *d.tokens] for one, d in zip(rows, done, strict=True)]
        tables = scores(toy(HOME_WORLD).target, whole, [len(one.prompt) for one in rows])

        def impossible(counts_prompt: bool) -> int:
            count = 0
            for table, row, one in zip(tables, rows, done, strict=True):
                places = places_of(table, row, list(one.tokens), counts_prompt)
                kept = places.possible[range(len(one.tokens)), one.tokens]
                count += not bool(kept.all())
            return count

        return impossible(True) < impossible(False)

    @property
    def spare(self) -> int:
        """Tokens of the context that the plain text leaves unused."""
        return int(self._once("spare", self._spare)) if self.overruns else 0

    def _spare(self) -> int:
        context = toy("brief").target.config.max_position_embeddings
        prompt = tuple(i % 31 for i in range(context - 8))
        params = SamplingParams(temperature=0.0, max_new_tokens=24)
        (done,) = self.ask(
            "brief", True, TextCall((TextRequest(prompt, params),), speculative=False)
        )
        return 8 - len(done.tokens) if 0 < len(done.tokens) <= 8 else 0

    @property
    def overruns(self) -> bool:
        """Whether requests that ask for more than the context has room for are taken."""

        return self._taken("overruns", self._spare)

    @property
    def takes_nothing(self) -> bool:
        """Whether a batch without requests is taken, without speculation."""
        nothing = TextCall((), speculative=False)
        return self.has("batch") and self._taken(
            "nothing", lambda: self.ask(HOME_WORLD, True, nothing)
        )

    @property
    def convention(self) -> Convention:
        """The engine's own ways, where right engines differ, as its plain texts show them."""
        return Convention(self.counts_prompt, self._once("filters", self._filters_first))

    def _filters_first(self) -> bool | None:
        """Whether filters come before the temperature; None: cannot be said for sure."""
        wanted: dict[str, Any] = {"top_p": 0.6} if self.has("top_p") else {"min_p": 0.1}
        if not self.has("sampling") or not self.has(*wanted):
            return None
        params = SamplingParams(temperature=0.5, max_new_tokens=24, **wanted)
        rows = [TextRequest(prompt, params) for prompt in _PENALISED * 4]
        done = self.ask("long-small", True, TextCall(tuple(rows), speculative=False))
        pairs, texts = [(one.prompt, params) for one in rows], [list(one.tokens) for one in done]
        likely = {}
        for first in (True, False):
            way = Convention(filters_first=first)
            tables = expected_distributions(toy("long-small"), pairs, texts, way)
            chosen = [
                table.distribution[range(len(text)), text]
                for table, text in zip(tables, texts, strict=True)
            ]
            likely[first] = float(torch.cat(chosen).log().sum())
        far = abs(likely[True] - likely[False]) > _SURE  # false where both are impossible
        return likely[True] > likely[False] if far else None

    def _taken(self, key: str, ask: Callable[[], object]) -> bool:
        def taken() -> bool:
            try:
                ask()
            except NotLoadedError:
                raise
            except (Exception, SystemExit):
                return False
            return True

        return bool(self._once(key, taken))

    def acceptance(self, world: str, drafts: bool, params: SamplingParams) -> HomeAcceptance:
        """With these parameters in a world whose draft is the target."""
        plain = replace(
            params,
            seed=None,
            stop_ids=(),
            stop_sequences=(),
            min_tokens=0,
            max_new_tokens=24,
            logit_bias={},
        )
        return self._once(
            (world, drafts, repr(plain)), lambda: self._acceptance(world, drafts, plain)
        )

    def _acceptance(self, world: str, drafts: bool, params: SamplingParams) -> HomeAcceptance:
        counts = [self._counts(world, drafts, params, length) for length in _LENGTHS]
        steps = [max(1, one.target_steps or 0) for one in counts]
        wasted = [one.drafted - one.accepted for one in counts]
        varies = len({one.accepted for one in counts[3:]}) > 1
        if varies or (params.temperature > 0 and max(wasted)):
            gained = 0.0
        else:
            gained = max(length / step for length, step in zip(_LENGTHS, steps, strict=True))
        longest = max(-(-one.drafted // step) for one, step in zip(counts, steps, strict=True))
        return HomeAcceptance(min(wasted) / 5, gained, longest)

    def _counts(self, world: str, drafts: bool, params: SamplingParams, length: int) -> Metrics:
        row = TextRequest(_PROMPT, replace(params, max_new_tokens=length))
        (done,) = self.ask(world, drafts, TextCall((row,)))
        assert done.metrics is not None  # asked of engines that report them
        return done.metrics

    @property
    def bonus(self) -> bool:
        """Whether a draft that is accepted whole gains one token more."""
        return bool(self._once("bonus", self._bonus))

    def _bonus(self) -> bool:
        params = SamplingParams(temperature=0.0)
        over = []
        for length in range(17, 22):
            one = self._counts(SAME, not self.own_draft, params, length)
            over.append((one.target_steps or 0) + one.accepted - length)
        return min(over) <= 0 and max(over) <= 1

    @property
    def looks_up(self) -> bool:
        """Whether nothing is drafted where nothing has come twice. Heads and early exit always
        draft, and may guess as badly as they like."""
        return bool(self._once("lookup", self._looks_up))

    def _looks_up(self) -> bool:
        params = SamplingParams(temperature=0.0, max_new_tokens=2)
        rows = [TextRequest(tuple(range(1 + i, 9 + i)), params) for i in range(4)]
        done = [self.ask(HOME_WORLD, False, TextCall((one,)))[0] for one in rows]
        return not any(one.metrics and one.metrics.drafted for one in done)

    def elastic(self, rows: int) -> bool:
        """Whether a batch of so many rows is drafted in another number of steps than one row alone,
        though all of it is accepted: then seeded texts may depend on the load, lawfully."""
        if self.own_draft or not self.has("metrics"):
            return False
        return bool(self._once(("elastic", rows), lambda: self._elastic(rows)))

    def _elastic(self, rows: int) -> bool:
        params = SamplingParams(temperature=0.0, max_new_tokens=20)
        row = TextRequest((*_PROMPT, 0), params)
        counts = [self.ask(SAME, True, TextCall((row,) * size))[0].metrics for size in (1, rows)]
        one, many = counts
        if one is None or many is None:
            return False
        accepted = all(count.drafted - count.accepted <= 3 for count in (one, many))
        return accepted and one.target_steps != many.target_steps
