"""Long sampled texts, held against the probabilities that the baseline reports for their own tokens
(field: "score the server's own texts where they should have come from")."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import TypeVar

import torch

from ...stats.betting import Bettor, Winner
from ...stats.questions import EVERYWHERE, Observed
from ...stats.rehearse import Detectable, FaultClass, SeenRun, rehearse_one
from ...stats.scored_texts import (
    ScoredBatch,
    ScoredShape,
    read_scored,
    scored_classes,
    scored_questions,
)
from ..client import LateError, RefusedError
from ..dialect import Answer, Ask, Prompt
from ..scoring import (
    Ids,
    IdTexts,
    NextLogprobs,
    Scorer,
    TextScores,
    draft_table,
    find_chat,
    find_scorer,
    find_texts,
    name_table,
    probability,
)
from ..server_pair import ServerPair
from ..session import MisbehavedError, Session
from ..verdict import Picture, Reach, Verdict
from .http_asks import asks

LENGTHS = (256, 128, 64, 32)  # tokens of a text: the most that the servers take
FIRST_TEXTS, CALL_TEXTS = 8, 32  # texts of the first call, and of every other
STEPWISE = (64, 8)  # tokens and texts of a call, where each token is scored by a request of its own
SHORT, LONG = 8, 8  # prompts of a few tokens, and of up to LONGEST
LONGEST = 64
STRANGE, STRANGE_TOKENS = 2, 12  # prompts of tokens from the whole vocabulary, and their length
CONTROL_ALPHA = 1e-3  # the plain server's own texts are accused more readily
CONTROLLED = 4  # a conviction counts when the control has seen this part of its tokens, and goes on
MOST_REHEARSED = 50_000  # tokens that say what would have been found
REHEARSED_AGAIN = 4  # the rehearsal is repeated when the tokens have grown by this factor
MEASURED = 4  # texts whose scores are compared with one another
SAFETY, LEAST_SLACK, MOST_SLACK = 2.0, 1e-5, 0.3  # of the measured error, relative
MESSAGES = (  # of a chat: any will do that is answered at length
    "Tell me a story about a lighthouse.",
    "Write a function that sorts a list, and explain it.",
    "What happened in the year 1815?",
    "List ten uses of a brick.",
    "Describe a colour to someone who cannot see.",
    "Write a letter to a friend whom you have not met for years.",
    "Explain how a bicycle stays upright.",
    "Make up a dialogue between the sun and the moon.",
)
ENDS = 4  # different tokens that may end a text
ATTEMPTS = 4  # the first has 7/8 of the error rate, each other one an eighth of the one before
_A = TypeVar("_A")


class UnscoredError(Exception):
    """The check cannot be run against these servers; the message says why."""


class BaselineError(Exception):
    """The baseline writes or scores no longer."""


class DraftError(Exception):
    """The draft's server scores no longer."""


@dataclass
class Scoring:
    """What the check works with. server, baseline: how each writes. more: words for the verdict.
    attempt: how often the check had begun before."""

    pair: ServerPair
    server: IdTexts
    baseline: IdTexts
    scorer: Scorer
    draft: Scorer | None
    prompts: list[Prompt]  # ids, or the messages of a chat
    length: int
    slack: float
    more: str
    attempt: int

    @property
    def rows(self) -> int:
        return STEPWISE[1] if isinstance(self.scorer, NextLogprobs) else CALL_TEXTS

    @property
    def shape(self) -> ScoredShape:
        return ScoredShape(
            self.scorer.named, self.rows, self.length, len(self.prompts), self.draft is not None
        )

    def batch(self, texts: IdTexts, number: int) -> Observed:
        """The scored texts of one call."""
        rows = min(FIRST_TEXTS if number == 0 else CALL_TEXTS, self.rows)
        chosen = [(number * CALL_TEXTS + i) % len(self.prompts) for i in range(rows)]
        asked = self._asks(texts, [self.prompts[i] for i in chosen], number)
        written = texts.write(asked)
        prompts = [_ids_before(*pair) for pair in zip(asked, written, strict=True)]
        tokens = [self._tokens(answer) for answer in written]
        pairs = list(zip(prompts, tokens, strict=True))
        scores = of_baseline(lambda: self.scorer.score_all(pairs))
        names, p = name_table(scores, self.scorer.named, self.length)
        q = None
        if self.draft is not None:
            q = draft_table(names, p, self._draft_scores(self.draft, pairs))
        filled = torch.zeros(rows, self.length, dtype=torch.int64)
        for row, text in enumerate(tokens):
            filled[row, : len(text)] = torch.tensor(text)
        lengths = torch.tensor([len(text) for text in tokens])
        batch = ScoredBatch(names, p, q, filled, lengths, prompts, torch.tensor(chosen), self.slack)
        return read_scored(self.shape, batch)

    def _asks(self, texts: IdTexts, prompts: Sequence[Prompt], number: int) -> list[Ask]:
        """Every request has a seed of its own, where seeds are taken."""
        made = []
        for i, prompt in enumerate(prompts):
            what = ("scored", texts.side.name, self.attempt, number, i)
            made.append(seeded(self.pair, Ask(prompt, self.length), *what))
        return made

    def _tokens(self, answer: Answer) -> Ids:
        tokens = (answer.tokens or ())[: self.length]
        if not tokens:
            raise UnscoredError("a text ends before its first token, and the end is not shown")
        if len(tokens) < self.length:
            ends = self.pair.session.once("http text ends", set)
            ends.add(tokens[-1])
            if len(ends) > ENDS or (answer.count or 0) > len(tokens):
                raise UnscoredError("texts end, and the token that ends them is not shown")
        return tokens

    def _draft_scores(self, draft: Scorer, pairs: list[tuple[Ids, Ids]]) -> list[TextScores]:
        try:
            return draft.score_all(pairs)
        except LateError:
            raise
        except MisbehavedError as error:
            raise DraftError(str(error)) from None


def _ids_before(ask: Ask, answer: Answer) -> Ids:
    """The ids that a text continues."""
    if isinstance(ask.prompt, tuple):
        return ask.prompt
    if not answer.prompt:
        raise UnscoredError("the ids of a message do not come back")
    return answer.prompt


def of_baseline(call: Callable[[], _A]) -> _A:
    """What the baseline gives; its failures are told apart from the judged server's."""
    try:
        return call()
    except LateError:
        raise
    except MisbehavedError as error:
        raise BaselineError(str(error)) from None


def seeded(pair: ServerPair, ask: Ask, *what: object) -> Ask:
    """With a seed by name, where seeds are taken."""
    return ask.but(seed=pair.seed(*what)) if pair.takes_seeds else ask


def prepare(
    pair: ServerPair, longest: int, no_draft: str, attempt: int, chat: bool = False
) -> Scoring:
    """Find how both servers write, who scores how, and how exact that is.

    Args:
        longest: tokens of a text. no_draft: why no draft is asked, "" where one may be. attempt:
            how often the check had begun before. chat: whether messages are answered.
    Errors:
        UnscoredError where they do not do what is needed.
    """
    assert pair.baseline is not None
    if chat:
        server, baseline = (find_chat(side, MESSAGES[0]) for side in (pair.server, pair.baseline))
    else:
        start = pair.prompts[0]
        server, baseline = find_texts(pair.server, start), find_texts(pair.baseline, start)
    for name, texts in (("the server", server), ("the baseline", baseline)):
        if texts is None:
            raise UnscoredError(f"no token ids come back from {name}")
    assert server is not None
    assert baseline is not None
    prompts: list[Prompt] = [*(MESSAGES if chat else _prompts(pair, baseline))]
    first = seeded(pair, Ask(prompts[0], LENGTHS[-1]), "scored sample")
    answer = of_baseline(lambda: baseline.write([first]))[0]
    before, sample = _ids_before(first, answer), answer.tokens or ()
    scorer, why = find_scorer(pair.baseline, before, sample)
    if scorer is None:
        raise UnscoredError(f"the baseline scores no text: {'; '.join(why)}")
    most = STEPWISE[0] if isinstance(scorer, NextLogprobs) else LENGTHS[0]
    length = _longest([server, baseline], prompts, min(longest, most))
    if not chat:
        prompts += _strange(pair, [server, baseline], scorer, (before, sample))
    draft, more = None, no_draft or pair.no_draft
    if not no_draft and pair.draft is not None:
        draft, why = find_scorer(pair.draft, before, sample)
        more = f"the draft by {draft.name}" if draft else f"no draft: {why[-1]}"
    asked = [
        seeded(pair, Ask(prompts[i % len(prompts)], length, logprobs=1), "scored slack", i)
        for i in range(MEASURED)
    ]
    slack = measured_slack(baseline, scorer, asked)
    return Scoring(pair, server, baseline, scorer, draft, prompts, length, slack, more, attempt)


def _prompts(pair: ServerPair, baseline: IdTexts) -> list[Ids]:
    """Pieces of what the baseline writes, short ones and long ones."""
    given = [prompt for prompt in pair.prompts if isinstance(prompt, tuple)]
    starts: list[Prompt] = [*(given or pair.prompts)]
    asked = [
        seeded(pair, Ask(starts[i % len(starts)], LONGEST), "scored prompts", i)
        for i in range(LONG)
    ]
    texts = [answer.tokens or () for answer in of_baseline(lambda: baseline.write(asked))]
    long = [text[: LONGEST - 6 * i] for i, text in enumerate(texts) if len(text) > 1]
    short = given[:SHORT] or [text[: 3 + i] for i, text in enumerate(texts)]
    prompts = list(dict.fromkeys(prompt for prompt in (*short, *long) if prompt))
    if not prompts:
        raise UnscoredError("the baseline writes no token after any prompt")
    return prompts


def _strange(
    pair: ServerPair, sides: Sequence[IdTexts], scorer: Scorer, scored: tuple[Ids, Ids]
) -> list[Ids]:
    """Prompts of any tokens up to the largest that a report has named, as far as both sides take
    them: what comes after unlikely tokens is written in its own way.
    """
    largest = max(max(table) for table in of_baseline(lambda: scorer.score(*scored)).likeliest)
    g = pair.session.generator("scored vocabulary")
    taken: list[Ids] = []
    for _ in range(STRANGE):
        prompt = tuple(torch.randint(largest + 1, (STRANGE_TOKENS,), generator=g).tolist())
        try:
            for side in sides:
                side.write([Ask(prompt, 1)])
        except LateError:
            raise
        except MisbehavedError:  # a token that only the server itself may use
            continue
        taken.append(prompt)
    return taken


def _longest(sides: Sequence[IdTexts], prompts: Sequence[Prompt], most: int) -> int:
    """The length that each side takes after the longest prompt."""
    ask = Ask(max(prompts, key=len))
    for length in LENGTHS:
        try:
            if length > most:
                continue
            for side in sides:
                side.write([ask.but(max_tokens=length)])
            return length
        except (RefusedError, LateError):
            continue
    raise UnscoredError(f"the servers write no texts of {LENGTHS[-1]} tokens in time")


def measured_slack(baseline: IdTexts, scorer: Scorer, asked: Sequence[Ask]) -> float:
    """By how much, relatively and on average, reported probabilities are off: one text scored
    twice, alone and in company; and as it was reported when it was written.

    The bets lose the slack at every token, so that it is the mean error which they must cover.
    """
    try:
        answers = baseline.write(asked)
    except RefusedError:  # some servers report no log probabilities of what they write
        answers = of_baseline(lambda: baseline.write([ask.but(logprobs=None) for ask in asked]))
    pairs: list[tuple[Ids, Ids]] = []
    reported: list[Answer] = []
    for ask, answer in zip(asked, answers, strict=True):
        if answer.tokens:
            pairs.append((_ids_before(ask, answer), answer.tokens))
            reported.append(answer)
    together = of_baseline(lambda: scorer.score_all(pairs))
    errors: list[float] = []
    for (prompt, text), answer, scores in zip(pairs, reported, together, strict=True):
        errors += _differences(scores, _again(scorer, prompt, text))
        errors += _from_writing(scores, answer)
    slack = max(SAFETY * mean(errors), LEAST_SLACK) if errors else LEAST_SLACK
    if slack > MOST_SLACK:
        raise UnscoredError(
            f"the baseline reports other probabilities from one time to the next, by {slack:.2g} of"
            " each on average: nothing can be tested against them"
        )
    return slack


def _again(scorer: Scorer, prompt: Ids, text: Ids) -> TextScores:
    return of_baseline(lambda: scorer.score(prompt, text))


def _differences(one: TextScores, two: TextScores) -> list[float]:
    """At each place the mean of |log p - log p'| under p, over what both name."""
    found = []
    for mine, other in zip(one.likeliest, two.likeliest, strict=True):
        both = mine.keys() & other.keys()
        weight = sum(probability(mine[token]) for token in both)
        off = sum(probability(mine[token]) * abs(mine[token] - other[token]) for token in both)
        found += [off / weight] if weight > 0 else []
    return found


def _from_writing(scores: TextScores, answer: Answer) -> list[float]:
    """|log p - log p'| of the tokens that came, as far as both report them."""
    pairs = zip(scores.own, answer.logprobs or ())
    return [abs(a - b) for a, b in pairs if a == a and b == b]


@asks(
    "http.scored-law",
    offers=("sampling",),
    baseline=True,
    distribution=True,
    statistical=True,
    since="0.2",
)
def scored_distribution(pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Do long sampled texts follow the probabilities that the baseline reports for their tokens?

    Texts of up to 256 tokens at temperature 1 from the server. The baseline scores the same tokens,
    and each is bet on: the likeliest tokens at its place one by one, all others as one. The bets
    allow for the error of reported numbers, which is measured first. `--draft` names a server of
    the draft model; it chooses what is looked for, and never what is right. Before the server is
    accused the baseline's own texts go the same way: if they are accused too, the scores are wrong
    and nothing is said of the server.

    Sees in dozens of requests what http.law sees in tens of thousands. Needs token ids, and
    `prompt_logprobs`, `echo` with `logprobs`, SGLang's `/generate`, or alternatives by id: then
    each token takes a request.
    """
    yield from _begun(pair, session, chat=False)


@asks(
    "http.scored-chat",
    offers=("sampling",),
    baseline=True,
    distribution=True,
    statistical=True,
    since="0.2",
)
def scored_chat(pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Do answers to messages follow the probabilities that the baseline reports for their tokens?

    As http.scored-law, through `/v1/chat/completions`, where the ids of the answer and of the
    prompt come back (`return_token_ids`). The baseline scores them as a completion.
    """
    yield from _begun(pair, session, chat=True)


def _begun(pair: ServerPair, session: Session, chat: bool) -> Iterator[Verdict]:
    """The check; it begins again where texts are late or the draft fails, at a smaller error
    rate."""
    length, no_draft, why = LENGTHS[0], "", ""
    for attempt in range(ATTEMPTS):
        alpha = session.alpha() * 7 / 8 / 8**attempt
        try:
            yield from _judged(prepare(pair, length, no_draft, attempt, chat), session, alpha)
            return
        except UnscoredError as error:
            yield Verdict("UNSUPPORTED", "none", str(error))
            return
        except BaselineError as error:
            yield Verdict("INCONCLUSIVE", "none", f"the baseline fails: {error}")
            return
        except DraftError as error:
            no_draft = why = f"no draft: {error}"
        except LateError as error:
            length, why = max(length // 2, LENGTHS[-1]), str(error)
    yield Verdict("INCONCLUSIVE", "none", f"begun {ATTEMPTS} times and given up: {why}")


class _Bets:
    """One side's texts, bet on call by call."""

    def __init__(self, scoring: Scoring, texts: IdTexts, alpha: float):
        self.scoring, self.texts = scoring, texts
        self.bettor = Bettor(scored_questions(scoring.shape), alpha)
        self.calls = 0
        self.seen: list[Observed] = []  # up to MOST_REHEARSED tokens
        self.texts_seen = 0

    @property
    def n(self) -> int:
        return self.bettor.n

    def go_on(self) -> bool:
        """Another call; returns whether the texts are known to be wrong by now."""
        observed = self.scoring.batch(self.texts, self.calls)
        self.calls += 1
        if self.n < MOST_REHEARSED:
            self.seen.append(observed)
        assert observed.row is not None
        self.texts_seen += len(observed.row.unique())
        return self.bettor.update(observed)


def _judged(scoring: Scoring, session: Session, alpha: float) -> Iterator[Verdict]:
    bets = _Bets(scoring, scoring.server, alpha)
    found: dict[FaultClass, Detectable] = {}
    rehearsed, widest = 0, scored_classes(scoring.shape)[0]
    while widest not in found or (found[widest].tv or 1.0) > session.goal:
        if bets.go_on():
            yield from _accused(bets, scoring)
            return
        if bets.n >= REHEARSED_AGAIN * rehearsed and rehearsed < MOST_REHEARSED:
            rehearsed = bets.n
            for one in _rehearsed(bets, session):
                found[one.fault] = one
                yield replace(_said(bets), reach=_reach(found, widest))
        yield replace(_said(bets), reach=_reach(found, widest))


def _rehearsed(bets: _Bets, session: Session) -> Iterator[Detectable]:
    """Class by class, since each takes a while."""
    questions = bets.bettor.questions
    run = SeenRun(questions, [call.checked(questions) for call in bets.seen])
    for number, fault in enumerate(scored_classes(bets.scoring.shape)):
        seed = session.seed_for("scored rehearsal", number) % 2**31
        yield rehearse_one(run, bets.bettor.alpha, fault, seed)


def _reach(found: dict[FaultClass, Detectable], widest: FaultClass) -> tuple[Reach, ...]:
    return tuple(Reach(one.words, one.tv, one.fault == widest) for one in found.values())


def _said(bets: _Bets) -> Verdict:
    scoring = bets.scoring
    return Verdict(
        "PASS",
        "e-process",
        f"{bets.n:,} tokens of {bets.texts_seen:,} texts, scored by {scoring.scorer.name}, the"
        f" {scoring.scorer.named} likeliest by name, slack {scoring.slack:.1g} ({scoring.more})",
        f"texts of up to {scoring.length} tokens at temperature 1 after {len(scoring.prompts)}"
        " prompts",
        bets.n,
        bets.bettor.alpha,
    )


def _accused(bets: _Bets, scoring: Scoring) -> Iterator[Verdict]:
    """The server's texts do not follow the scores; do the baseline's own?"""
    control = _Bets(scoring, scoring.baseline, CONTROL_ALPHA)
    waiting = replace(_said(bets), verdict="INCONCLUSIVE")
    winner = plainest(bets.bettor)
    said = told_of_scores(bets.bettor, winner)
    yield replace(waiting, what=f"{said}; the baseline's own texts are not asked yet")
    while control.n < bets.n:
        if of_baseline(control.go_on):
            yield replace(
                waiting,
                what=(
                    "the baseline's own texts do not follow the probabilities that it reports"
                    f" ({_first_words(control)}, after {control.n:,} tokens): the"
                    " scores are no measure, and nothing is said of the server"
                ),
            )
            return
        if control.n * CONTROLLED >= bets.n:
            yield _convicted(bets, winner, control.n)
        else:
            yield waiting


def _convicted(bets: _Bets, winner: Winner, controlled: int) -> Verdict:
    said = _said(bets)
    return replace(
        said,
        verdict="FAIL",
        what=(
            f"{told_of_scores(bets.bettor, winner)}, in {bets.n:,} tokens of"
            f" {bets.texts_seen:,} texts that the baseline scored; {controlled:,} tokens of its own"
            " texts follow the same scores"
        ),
        tv=_tv(bets.bettor),
        cause=_cause(winner),
        pictures=(_picture(bets),),
    )


def _first_words(bets: _Bets) -> str:
    return told_of_scores(bets.bettor, plainest(bets.bettor))


def plainest(bettor: Bettor) -> Winner:
    """The winner to tell of: a lean that convicts alone, since it names what is wrong; else the
    richest."""
    winners = bettor.winners()
    leans = [one for one in winners if one.kind == "score" and one.convicts]
    return leans[0] if leans else winners[0]


def told_of_scores(bettor: Bettor, winner: Winner) -> str:
    """The winning bet in words. Ranks count from 1; the last cell holds what is not named."""
    if winner.kind != "table":
        return winner.words
    (outcome, context), (group, cell) = winner.about, winner.at
    table = bettor.tables[outcome, context]
    named = table.observed.shape[1] - 1
    if cell == named:
        what = "tokens that are not among the likeliest"
    elif outcome == "ratio rank":
        what = f"the {cell + 1}. of {named} likely tokens by how much the draft prefers it"
    elif outcome == "rank":
        what = f"the {cell + 1}. likeliest token"
    else:
        what = f"likely tokens that leave {cell} modulo {named}"
    came, due = float(table.observed[group, cell]), float(table.expected[group, cell])
    said = f"{what} came {came:.0f} times where {due:.1f} were due"
    if context == EVERYWHERE:
        return said
    return f"{said} {bettor.questions.context[context].words.format(group)}"


def _tv(bettor: Bettor) -> float:
    """The mean lean along the direction that is leant along most: the TV at most, but for
    chance."""
    everywhere = [scores for (_, at), scores in bettor.scores.items() if at == EVERYWHERE]
    return max(float(scores.total.abs().max()) for scores in everywhere) / max(bettor.n, 1)


def _cause(winner: Winner) -> str:
    """A guess, and said to be one: only what the winning bet itself shows."""
    if winner.kind == "lag":
        return "requests or places share random numbers (a guess)"
    about = winner.about[0] if winner.about else ""
    if about in ("draft", "accepted", "ratio rank"):
        return "the acceptance or the residual is not p and q's (a guess)"
    if about == "likely":
        return "draft rows are judged at another temperature or filter (a guess)"
    return ""


def _picture(bets: _Bets) -> Picture:
    outcome = "rank" if bets.scoring.draft is None else "ratio rank"
    table = bets.bettor.tables[outcome, EVERYWHERE]
    names = [str(i + 1) for i in range(bets.scoring.scorer.named)]
    order = "p" if bets.scoring.draft is None else "q/p"
    expected, observed = table.expected[0] / bets.n, table.observed[0] / bets.n
    return Picture(
        f"named tokens by falling {order}",
        (*names, "others"),
        tuple(expected.tolist()),
        tuple(observed.tolist()),
    )
