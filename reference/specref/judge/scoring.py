"""What a server says of a given text: of each token's distribution the likeliest tokens, in every
dialect that reports them.

PromptLogprobs  `prompt_logprobs` of /v1/completions: vLLM, `specref serve`
InputLogprobs   `return_logprob` with `logprob_start_len` of /generate: SGLang
EchoLogprobs    `echo` with `logprobs` of /v1/completions, where tokens come back by their ids
NextLogprobs    one request a token for the alternatives of what comes next: llama.cpp, and every
                other server that takes token ids and names alternatives by id

The set of tokens that are named at a place must not depend on the token that came there. Reports
add that token where it is not among the likeliest: it is taken out again (`without_own`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor

from .client import FLIGHT, LateError, shown
from .dialect import Answer, Ask, OpenAI, Prompt
from .server_pair import Endpoint
from .session import MisbehavedError

Ids = tuple[int, ...]
Likeliest = dict[int, float]  # token id -> log probability
COUNTS = (20, 10, 5, 2)  # how many tokens a server may be willing to name
LOWEST = -1000.0  # log probabilities below stand for probability 0
RAISED = 0.01  # reported probabilities may add up to so much more than 1
_A = TypeVar("_A")
_B = TypeVar("_B")


class NotScoredError(MisbehavedError):
    """A server that scores texts does not score one, or names other tokens than it was sent."""


@dataclass(frozen=True)
class TextScores:
    """likeliest: at each place of a text, without the text's own token unless it is one of them.
    own: the log probability of each token; NaN where it was not reported."""

    likeliest: tuple[Likeliest, ...]
    own: tuple[float, ...]


def without_own(table: Mapping[int, float], token: int, count: int) -> Likeliest:
    """The `count` likeliest: a table that holds one more holds the token that came as well."""
    kept = dict(table)
    if len(kept) > count:
        kept.pop(token, None)
    return kept


def likeliest(table: Likeliest, count: int) -> Likeliest:
    """Equal ones by id: an order that does not depend on the token that came."""
    pairs = sorted(table.items(), key=lambda pair: (-pair[1], pair[0]))
    return dict(pairs[:count])


class PromptLogprobs:
    """vLLM's `prompt_logprobs`."""

    name, path = "prompt_logprobs", "/v1/completions"

    def body(self, model: str, prompt: Ids, text: Ids, count: int) -> dict[str, Any]:
        return _named(model) | {
            "prompt": [*prompt, *text],
            "max_tokens": 1,
            "temperature": 1.0,
            "prompt_logprobs": count,
        }

    def read(self, data: Any, prompt: Ids, text: Ids, count: int) -> TextScores:
        choice = data["choices"][0]
        reported = choice["prompt_logprobs"]
        if len(reported) != len(prompt) + len(text):
            raise ValueError(
                f"{len(reported)} prompt_logprobs for {len(prompt) + len(text)} tokens"
            )
        tables = []
        for entry in reported[len(prompt) :]:
            tables.append({int(token): float(said["logprob"]) for token, said in entry.items()})
        return _scores(
            tables, [table[t] for table, t in zip(tables, text, strict=True)], text, count
        )


class EchoLogprobs:
    """OpenAI's `echo`. written: tokens that the server has to write at least."""

    path = "/v1/completions"

    def __init__(self, written: int):
        self.written = written
        self.name = f"echo with logprobs, max_tokens {written}"

    def body(self, model: str, prompt: Ids, text: Ids, count: int) -> dict[str, Any]:
        return _named(model) | {
            "prompt": [*prompt, *text],
            "max_tokens": self.written,
            "temperature": 1.0,
            "echo": True,
            "logprobs": count,
            "return_tokens_as_token_ids": True,
        }

    def read(self, data: Any, prompt: Ids, text: Ids, count: int) -> TextScores:
        reported = data["choices"][0]["logprobs"]
        here = slice(len(prompt), len(prompt) + len(text))
        tokens = [_id(token) for token in reported["tokens"][here]]
        if tuple(tokens) != text:
            raise ValueError("the tokens that come back are not those that were sent")
        tables = []
        for entry in reported["top_logprobs"][here]:
            tables.append({_id(token): float(value) for token, value in entry.items()})
        own = [float(value) for value in reported["token_logprobs"][here]]
        return _scores(tables, own, text, count)


class InputLogprobs:
    """SGLang's `/generate`."""

    name, path = "return_logprob", "/generate"

    def body(self, model: str, prompt: Ids, text: Ids, count: int) -> dict[str, Any]:
        return {
            "input_ids": [*prompt, *text],
            "sampling_params": {"max_new_tokens": 1, "temperature": 1.0},
            "return_logprob": True,
            "logprob_start_len": max(len(prompt) - 1, 0),
            "top_logprobs_num": count,
        }

    def read(self, data: Any, prompt: Ids, text: Ids, count: int) -> TextScores:
        # entries are [log probability, id, text]; the first has no log probability
        meta = data["meta_info"]
        own = meta["input_token_logprobs"][-len(text) :]
        if tuple(int(entry[1]) for entry in own) != text:
            raise ValueError("the tokens that come back are not those that were sent")
        tables = []
        for entries in meta["input_top_logprobs"][-len(text) :]:
            tables.append({int(entry[1]): float(entry[0]) for entry in entries})
        return _scores(tables, [float(entry[0]) for entry in own], text, count)


Reporter = PromptLogprobs | EchoLogprobs | InputLogprobs
REPORTERS: tuple[Reporter, ...] = (
    PromptLogprobs(),
    InputLogprobs(),
    EchoLogprobs(0),
    EchoLogprobs(1),
)


class TextScorer:
    """Has one server score texts, each in one request."""

    def __init__(self, side: Endpoint, reporter: Reporter, count: int):
        self.side, self.reporter, self.count = side, reporter, count
        self.named = count  # tokens that are known at each place
        self.name = reporter.name
        self.model = side.dialect.model if isinstance(side.dialect, OpenAI) else ""

    def score(self, prompt: Ids, text: Ids) -> TextScores:
        body = self.reporter.body(self.model, prompt, text, self.count)
        data = self.side.client.post(self.reporter.path, body)
        scores = _understood(lambda: self.reporter.read(data, prompt, text, self.count), self)
        if self.named == self.count:
            return scores
        return TextScores(
            tuple(likeliest(table, self.named) for table in scores.likeliest), scores.own
        )

    def settle(self, prompt: Ids, text: Ids) -> None:
        """Score a text for the first time. A server that names fewer tokens than it was asked for,
        or all there are, gets one name less: its k-th may be the text's own token.
        """
        fewest = min(len(table) for table in self.score(prompt, text).likeliest)
        if fewest < self.count:
            self.named = max(fewest - 1, 1)

    def score_all(self, texts: Sequence[tuple[Ids, Ids]]) -> list[TextScores]:
        """(prompt, text) pairs -> their scores, many requests in flight."""
        return all_of(self.side, "scoring at", lambda pair: self.score(*pair), texts)


class NextLogprobs:
    """Has one server score texts, with one request for each token."""

    name = "one request a token"

    def __init__(self, side: Endpoint, count: int):
        self.side, self.count, self.named = side, count, count

    def settle(self, prompt: Ids, text: Ids) -> None:
        """Score a text's beginning for the first time."""
        scores = self.score(prompt, text[:4])
        self.named = min(self.count, *(len(table) for table in scores.likeliest))

    def score(self, prompt: Ids, text: Ids) -> TextScores:
        return self._joined(text, [self._next((*prompt, *text[:i])) for i in range(len(text))])

    def score_all(self, texts: Sequence[tuple[Ids, Ids]]) -> list[TextScores]:
        before: list[Ids] = []
        for prompt, text in texts:
            before += [(*prompt, *text[:i]) for i in range(len(text))]
        tables = iter(all_of(self.side, "scoring at", self._next, before))
        return [self._joined(text, list(islice(tables, len(text)))) for _, text in texts]

    def _next(self, before: Ids) -> Likeliest:
        dialect = self.side.dialect
        data = self.side.client.post(
            dialect.path, dialect.body(Ask(before, 1, 1.0, logprobs=self.count))
        )
        return _understood(lambda: self._read(data), self)

    def _read(self, data: Any) -> Likeliest:
        tops = self.side.dialect.read(data).tops or ()
        if len(tops) != 1 or not tops[0]:
            raise ValueError("the answer names no alternatives to its one token")
        table: Likeliest = {}
        for token, value in tops[0].items():
            if not isinstance(token, int):
                raise TypeError(f"alternatives come back as texts ({token!r}), not by id")
            table[token] = float(value)
        return checked_table(table)

    def _joined(self, text: Ids, tables: Sequence[Likeliest]) -> TextScores:
        own = [table.get(token, math.nan) for table, token in zip(tables, text, strict=True)]
        return TextScores(tuple(tables), tuple(own))


Scorer = TextScorer | NextLogprobs


class GenerateTexts:
    """SGLang's `/generate`, which gives ids where its /v1/completions gives text alone. Filters and
    penalties are turned off by name: a server may have defaults of the model's own.
    """

    path = "/generate"

    def __init__(self, side: Endpoint):
        self.side = side

    def body(self, ask: Ask) -> dict[str, Any]:
        ids = isinstance(ask.prompt, tuple)
        return {
            "input_ids" if ids else "text": list(ask.prompt) if ids else ask.prompt,
            "sampling_params": {
                "max_new_tokens": ask.max_tokens,
                "temperature": ask.temperature,
                "top_p": 1.0,
                "top_k": -1,
                "min_p": 0.0,
                "repetition_penalty": 1.0,
            },
            "return_logprob": ask.logprobs is not None,
        }

    def read(self, data: Any) -> Answer:
        meta = data["meta_info"]
        entries = meta.get("output_token_logprobs")
        tokens = data.get("output_ids") or [int(entry[1]) for entry in entries or ()]
        return Answer(
            str(data["text"]),
            tuple(map(int, tokens)),
            str(meta["finish_reason"]["type"]),
            meta.get("completion_tokens"),
            logprobs=None if entries is None else tuple(float(entry[0]) for entry in entries),
        )

    def write(self, asks: Sequence[Ask]) -> list[Answer]:
        return all_of(self.side, "POST /generate to", self._one, asks)

    def _one(self, ask: Ask) -> Answer:
        data = self.side.client.post(self.path, self.body(ask))
        return read_answer(self.side, "SGLang's /generate", lambda: self.read(data))


class DialectTexts:
    """Texts by the dialect that the server was found to speak. plain: parameters that turn its
    filters and penalties off.
    """

    def __init__(self, side: Endpoint, plain: dict[str, Any]):
        self.side, self.plain = side, plain

    def write(self, asks: Sequence[Ask]) -> list[Answer]:
        noted = all_of(
            self.side, f"POST {self.side.dialect.path} to", self.side.ask_quietly, self._plain(asks)
        )
        return self.side.noted(noted)

    def _plain(self, asks: Sequence[Ask]) -> list[Ask]:
        return [ask.but(more={**self.plain, **ask.more}) for ask in asks]


class ChatTexts:
    """`/v1/chat/completions`: the answers to messages, where the ids of the answer and of the
    prompt that the message became come back (vLLM's `return_token_ids`).
    """

    path = "/v1/chat/completions"

    def __init__(self, side: Endpoint, plain: dict[str, Any]):
        self.side, self.plain = side, plain
        self.model = side.dialect.model if isinstance(side.dialect, OpenAI) else ""

    def body(self, ask: Ask) -> dict[str, Any]:
        seed = {} if ask.seed is None else {"seed": ask.seed}
        reports = {} if ask.logprobs is None else {"logprobs": True}
        return _named(self.model) | {
            "messages": [{"role": "user", "content": ask.prompt}],
            "max_tokens": ask.max_tokens,
            "temperature": ask.temperature,
            "return_token_ids": True,
            **self.plain,
            **seed,
            **reports,
        }

    def read(self, data: Any) -> Answer:
        choice = data["choices"][0]
        entries = (choice.get("logprobs") or {}).get("content")
        return Answer(
            choice["message"].get("content") or "",
            tuple(map(int, choice["token_ids"])),
            str(choice["finish_reason"]),
            (data.get("usage") or {}).get("completion_tokens"),
            logprobs=None if entries is None else tuple(float(one["logprob"]) for one in entries),
            prompt=tuple(map(int, data["prompt_token_ids"])),
        )

    def write(self, asks: Sequence[Ask]) -> list[Answer]:
        return all_of(self.side, "POST /v1/chat/completions to", self._one, asks)

    def _one(self, ask: Ask) -> Answer:
        data = self.side.client.post(self.path, self.body(ask))
        return read_answer(self.side, "a chat with token ids", lambda: self.read(data))


IdTexts = GenerateTexts | DialectTexts | ChatTexts
# Off, as different servers want it said; a server that takes none has no such defaults.
UNFILTERED: tuple[dict[str, Any], ...] = (
    {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0},
    {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
    {"top_p": 1.0, "top_k": 0},
    {"top_p": 1.0},
    {},
)


def find_texts(side: Endpoint, start: Prompt) -> IdTexts | None:
    """How a server writes texts whose token ids come back; None where it does not."""
    if not side.dialect.ids:
        ways: list[IdTexts] = [GenerateTexts(side)]
    elif isinstance(side.dialect, OpenAI):
        ways = [DialectTexts(side, plain) for plain in UNFILTERED]
    else:
        ways = [DialectTexts(side, {})]
    return _first_that_writes(ways, start)


def find_chat(side: Endpoint, message: str) -> IdTexts | None:
    """How a server answers messages; None where it does not, or gives no ids."""
    return _first_that_writes([ChatTexts(side, plain) for plain in UNFILTERED], message)


def _first_that_writes(ways: Sequence[IdTexts], start: Prompt) -> IdTexts | None:
    for way in ways:
        try:
            if way.write([Ask(start, 2)])[0].tokens:
                return way
        except LateError:
            raise
        except MisbehavedError:
            continue
    return None


def find_scorer(side: Endpoint, prompt: Ids, text: Ids) -> tuple[Scorer | None, list[str]]:
    """The first way in which a server scores this text, naming as many tokens as it will; and why
    the others do not work.
    """
    why: list[str] = []
    makers: list[Callable[[int], Scorer]] = [
        lambda count, reporter=reporter: TextScorer(side, reporter, count)  # type: ignore[misc]
        for reporter in REPORTERS
    ]
    for make in [*makers, lambda count: NextLogprobs(side, count)]:
        for count in COUNTS:
            scorer = make(count)
            try:
                with side.session.calling(f"does {side.name} know {scorer.name}?"):
                    scorer.settle(prompt, text)
                return scorer, why
            except LateError:
                raise
            except MisbehavedError as error:
                last = str(error)
        why.append(f"{scorer.name}: {last}")
    return None, why


def all_of(side: Endpoint, what: str, call: Callable[[_A], _B], inputs: Sequence[_A]) -> list[_B]:
    """Results of all calls, with the watch told as they come in; the first error is raised when all
    are back.
    """
    said = f"{what} {side.name}, {FLIGHT} in flight"

    def one(item: _A) -> _B:
        found = call(item)
        side.session.going_on(said)
        return found

    with side.session.calling(said):
        found = side.client.many(one, inputs)
    for result in found:
        if isinstance(result, MisbehavedError):
            raise result
    return [result for result in found if not isinstance(result, MisbehavedError)]


def name_table(scores: Sequence[TextScores], count: int, places: int) -> tuple[Tensor, Tensor]:
    """[R,T,count] each: the named tokens of R texts, the likeliest first, and their probabilities;
    -1 and 0 where fewer are named, and behind a text's end.
    """
    names = torch.full((len(scores), places, count), -1, dtype=torch.int64)
    p = torch.zeros(len(scores), places, count, dtype=torch.float64)
    for row, text in enumerate(scores):
        for place, table in enumerate(text.likeliest):
            for i, (token, value) in enumerate(likeliest(table, count).items()):
                names[row, place, i] = token
                p[row, place, i] = probability(value)
    return names, p


def draft_table(names: Tensor, p: Tensor, scores: Sequence[TextScores]) -> Tensor:
    """[R,T,k]: the draft's probabilities of the tokens that the target names. What the draft does
    not name shares the rest of its probability as p does.
    """
    q = torch.zeros_like(p)
    for row, text in enumerate(scores):
        for place, table in enumerate(text.likeliest):
            tokens, mine = names[row, place].tolist(), p[row, place].tolist()
            q[row, place] = torch.tensor(_drafted(tokens, mine, table), dtype=torch.float64)
    return q


def _drafted(tokens: Sequence[int], p: Sequence[float], table: Likeliest) -> list[float]:
    known = {token: probability(value) for token, value in table.items()}
    rest = max(1 - sum(known.values()), 0.0)
    seen = sum(share for token, share in zip(tokens, p, strict=True) if token in known)
    factor = rest / max(1 - seen, 1e-9)
    least = min(known.values(), default=1.0)
    return [
        known.get(token, min(share * factor, least)) for token, share in zip(tokens, p, strict=True)
    ]


def probability(log: float) -> float:
    return math.exp(log) if log > LOWEST else 0.0


def checked_table(table: Likeliest) -> Likeliest:
    """Raises ValueError for what can be no distribution's."""
    total = sum(probability(value) for value in table.values())
    if not total <= 1 + RAISED or any(math.isnan(value) for value in table.values()):
        raise ValueError(f"reported probabilities add up to {total:.4f}")
    return table


def _scores(tables: Sequence[Likeliest], own: Sequence[float], text: Ids, count: int) -> TextScores:
    if len(tables) != len(text) or len(own) != len(text):
        raise ValueError(f"{len(tables)} places are scored of a text of {len(text)}")
    kept = []
    for table, token in zip(tables, text, strict=True):
        if not table:
            raise ValueError("no token is named at a place")
        kept.append(checked_table(without_own(table, token, count)))
    return TextScores(tuple(kept), tuple(own))


def _understood(read: Callable[[], _A], scorer: "Scorer") -> _A:
    try:
        return read()
    except (AttributeError, TypeError, KeyError, IndexError, ValueError) as error:
        raise NotScoredError(
            f"{scorer.side.name} does not score by {scorer.name}: {type(error).__name__}"
            f" {shown(error)}"
        ) from None


def read_answer(side: Endpoint, form: str, read: Callable[[], Answer]) -> Answer:
    try:
        return read()
    except (AttributeError, TypeError, KeyError, IndexError, ValueError) as error:
        raise MisbehavedError(
            f"{side.name}'s answer has not the form of {form}: {type(error).__name__}"
            f" {shown(error)}"
        ) from None


def _named(model: str) -> dict[str, Any]:
    return {"model": model} if model else {}


def _id(token: Any) -> int:
    text = str(token)
    if not text.startswith("token_id:"):
        raise ValueError(f"tokens come back as texts ({text!r}), not by id")
    return int(text[9:])
