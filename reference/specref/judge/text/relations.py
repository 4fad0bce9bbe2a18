"""What must hold of the answers of a scenario, in whatever surrounding.

A relation yields one `RelationFinding` for every answer that it applies to: its `what` is "" where
it holds. So how often it was asked is counted, and silence is no proof.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from ..contract import Metrics
from ..params_oracle import ended
from ..toys import TOY_TIE, scores
from .answers import ReadAnswer, SeenScenario
from .home import SAME, Home
from .scenario import DEFAULT

_NEAR = 1e-3  # log probability
_COPY = -30.0  # log probability of a text that no two requests write by chance
_LEAST_DRAFTED = 8  # drafted tokens of which one must be accepted


@dataclass(frozen=True)
class RelationFinding:
    """Of one answer; call and row count from 0. what: the fault, "" for none."""

    what: str
    call: int = 0
    row: int = 0


@dataclass(frozen=True)
class Relation:
    """name: the check's id without its level. wants: values of axes in which it applies often."""

    name: str
    find: Callable[[SeenScenario, Home], Iterator[RelationFinding]]
    concern: str
    needs: tuple[str, ...] = ()
    wants: tuple[tuple[str, object], ...] = ()
    # whether what fails may fail without speculation for the same reason
    controlled: bool = True
    distribution: bool = False  # a lossy engine is excused


RELATIONS: dict[str, Relation] = {}


def relation(
    name: str,
    concern: str,
    *,
    needs: tuple[str, ...] = (),
    wants: tuple[tuple[str, object], ...] = (),
    controlled: bool = True,
    distribution: bool = False,
) -> Callable[[Callable[[SeenScenario, Home], Iterator[RelationFinding]]], Callable]:
    """Register a relation under its name; the docstring is the check's question."""

    def register(find: Callable[[SeenScenario, Home], Iterator[RelationFinding]]) -> Callable:
        RELATIONS[name] = Relation(name, find, concern, needs, wants, controlled, distribution)
        return find

    return register


@relation("answers", "protocol")
def answers(seen: SeenScenario, home: Home) -> Iterator[RelationFinding]:
    """Does every call give one completion a request, and none raise?

    Batches of 0 to 33 requests, prompts of 1 to 256 tokens, texts of 1 to 275 tokens, all
    parameters that the engine names, after other calls of all kinds. A request that the engine
    refuses without speculation too is reported apart.
    """
    if seen.error:
        yield RelationFinding(seen.error, seen.error_call)
    for one in seen.answers:
        yield RelationFinding("", one.call, one.row)


@relation("greedy", "distribution", wants=(("temperature", 0.0),), distribution=True)
def greedy_is_target(seen: SeenScenario, home: Home) -> Iterator[RelationFinding]:
    """Is greedy text the target's own, in every surrounding?

    At temperature 0, token by token against the target's own scores, with penalties, bias and
    min_tokens; speculative and plain. Two best tokens nearer than 0.001 are a tie, which float32
    may break either way. Penalties are counted as the engine's own plain text counts them.
    """
    for one in seen.answers:
        if one.request.sampled:
            continue
        yield RelationFinding(_wrong_token(one, "instead of {best}"), one.call, one.row)


@relation("support", "impossible tokens", needs=("sampling",), wants=(("temperature", 1.0),))
def support(seen: SeenScenario, home: Home) -> Iterator[RelationFinding]:
    """Does no sampled token come that the parameters rule out?

    Tokens outside top-k, top-p or min-p, banned tokens, stop tokens before min_tokens, by whichever
    order of filters and temperature. One token is enough. Tokens at an edge of a filter are not
    judged.
    """
    for one in seen.answers:
        if one.request.sampled:
            yield RelationFinding(_wrong_token(one, "which is impossible"), one.call, one.row)


def _wrong_token(one: ReadAnswer, why: str) -> str:
    """The first token that cannot come, in words."""
    impossible = one.impossible
    if not impossible:
        return ""
    place = impossible[0]
    best = int(one.places.p[place].argmax())
    return f"the {one.way} text has token {one.text[place]} at place {place + 1}, " + why.format(
        best=best
    )


@relation("ends", "protocol")
def ends(seen: SeenScenario, home: Home) -> Iterator[RelationFinding]:
    """Does every text end where it must: at its stop, its length, the context's end, and no sooner?

    End tokens, stop tokens, stop sequences across drafts, min_tokens, max_new_tokens to the token,
    finish reasons. Where the context ends, the engine's own plain text says how much of it is used.
    """
    for one in seen.answers:
        if not one.impossible:
            yield RelationFinding(_wrong_end(one, seen, home), one.call, one.row)


def _wrong_end(one: ReadAnswer, seen: SeenScenario, home: Home) -> str:
    """What is wrong with the text's end."""
    params, text = one.request.params, one.text
    room = seen.room - len(one.request.prompt)
    if room < params.max_new_tokens:
        room -= home.spare
    reasons = [ended(text[:size], params, room) for size in range(1, len(text) + 1)]
    early = [size for size, reason in enumerate(reasons[:-1], 1) if reason]
    if early:
        reason = "stop" if reasons[early[0] - 1] == "stop" else f"{early[0]} tokens"
        return f"the {one.way} text goes on for {len(text) - early[0]} tokens after its {reason}"
    if not reasons or not reasons[-1]:
        most = min(params.max_new_tokens, room)
        return (
            f"the {one.way} text ends after {len(text)} of {most} tokens without a stop "
            f"(finish_reason {one.done.finish_reason!r})"
        )
    whole = len(text) >= min(params.max_new_tokens, room)
    if one.done.finish_reason != reasons[-1] and not whole:
        return f"the {one.way} text says {one.done.finish_reason!r} and ends by a {reasons[-1]!r}"
    return ""


@relation("logprobs", "accounting", needs=("logprobs",))
def logprobs(seen: SeenScenario, home: Home) -> Iterator[RelationFinding]:
    """Is each log probability that of its token?

    One for every token, to 0.001, of the distribution drawn from or of the model's own; accepted,
    replaced and bonus tokens alike, under all parameters. Tokens at the edge of a filter are left
    out.
    """
    for one in seen.answers:
        if not one.impossible and one.text:
            yield RelationFinding(_wrong_logprob(one), one.call, one.row)


def _wrong_logprob(one: ReadAnswer) -> str:
    said = torch.tensor(one.done.logprobs or [], dtype=torch.float64)
    size = min(len(one.text), len(said))
    if len(said) != len(one.done.tokens):
        return f"{len(said)} log probabilities come with {len(one.done.tokens)} tokens"
    drawn = one.places.p[one.chosen].log()[:size]
    model = one.places.raw[one.chosen][:size]
    near = ((said[:size] - drawn).abs() <= _NEAR) | ((said[:size] - model).abs() <= _NEAR)
    off = (~(near | one.places.doubtful[:size])).nonzero()[:, 0].tolist()
    if not off:
        return ""
    place = off[0]
    return (
        f"the {one.way} text says {float(said[place]):.3f} of token {place + 1}, whose log"
        f" probability is {float(drawn[place]):.3f}"
    )


@relation(
    "seeds",
    "determinism",
    needs=("sampling", "seed"),
    wants=(("seed", True), ("temperature", 1.0)),
)
def seeds(seen: SeenScenario, home: Home) -> Iterator[RelationFinding]:
    """Does the same request with the same seed bring the same text, whatever runs beside it?

    Alone and in batches, in another place, after other calls, by a fresh engine; speculative texts
    among themselves and plain ones among themselves. An engine that drafts in another number of
    steps under load may write another text there: that is a note, not a fault.
    """
    first: dict[tuple, ReadAnswer] = {}
    for one in seen.answers:
        if not one.request.sampled or not one.request.seeded:
            continue
        before = first.setdefault((one.request.key, one.speculative), one)
        if before is one:
            continue
        if before.text == one.text:
            yield RelationFinding("", one.call, one.row)
        elif not _lawful(seen, home, before, one):
            yield RelationFinding(_two_texts(before, one), one.call, one.row)


def _lawful(seen: SeenScenario, home: Home, before: ReadAnswer, one: ReadAnswer) -> bool:
    """Whether the load may explain two texts, or an edge that rounding moves."""
    sizes = {seen.size(before.call), seen.size(one.call)}
    place = _first_difference(before.text, one.text)
    if place < len(one.text) and bool(one.places.doubtful[place]):
        return True
    return len(sizes) > 1 and one.speculative and home.elastic(max(sizes))


def _first_difference(a: list[int], b: list[int]) -> int:
    pairs = zip(a, b)
    return next((i for i, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))


def _two_texts(before: ReadAnswer, one: ReadAnswer) -> str:
    place = _first_difference(before.text, one.text)
    return (
        f"a seeded {one.way} text comes back another way from token {place + 1} on: call"
        f" {before.call + 1} row {before.row + 1}, then call {one.call + 1} row {one.row + 1}"
    )


@relation(
    "copies",
    "distribution",
    needs=("sampling",),
    wants=(("company", "copies"), ("temperature", 1.0)),
    distribution=True,
)
def unlike_copies(seen: SeenScenario, home: Home) -> Iterator[RelationFinding]:
    """Do requests without a seed in common write different texts?

    Copies of one request in a batch, in calls one after the other, and with seeds that differ in
    one bit. A text of probability below e^-30 that comes twice comes from the same random numbers.
    Shared coins that leave the texts different are not seen here.
    """
    known: dict[tuple, list[ReadAnswer]] = {}
    for one in seen.answers:
        if not one.request.sampled or len(one.text) < 4 or one.impossible:
            continue
        request = one.request.prompt, repr(replace(one.request.params, seed=None))
        others = known.setdefault(request, [])
        unlike = [other for other in others if _independent(other, one)]
        if unlike and one.log_probability < _COPY:
            same = any(other.text == one.text for other in unlike)
            what = (
                f"one text of probability e^{one.log_probability:.0f} comes twice without the same"
                " seed"
            )
            yield RelationFinding(what if same else "", one.call, one.row)
        others.append(one)


def _independent(other: ReadAnswer, one: ReadAnswer) -> bool:
    """Whether two requests must not share their random numbers."""
    return other.request.params.seed is None or other.request.params.seed != one.request.params.seed


def _metrics(one: ReadAnswer) -> Metrics:
    assert one.done.metrics is not None  # `needs` names metrics
    return one.done.metrics


@relation("metrics", "accounting", needs=("metrics",), controlled=False)
def metrics(seen: SeenScenario, home: Home) -> Iterator[RelationFinding]:
    """Do the counts of target steps, drafted and accepted tokens agree with the text?

    accepted <= drafted, accepted <= tokens, target steps + accepted >= tokens - 1 (the prefill may
    give one). With the target as draft: no step is counted twice, and no drafted token that was
    never drafted. Without speculation nothing may count as drafted.
    """
    for one in seen.answers:
        yield RelationFinding(_miscounted(one, seen, home), one.call, one.row)


def _miscounted(one: ReadAnswer, seen: SeenScenario, home: Home) -> str:
    counts, size = _metrics(one), len(one.text)
    if not one.speculative and counts.drafted:
        return f"a text without speculation counts {counts.drafted} drafted tokens"
    steps = math.inf if counts.target_steps is None else counts.target_steps
    said = (
        f"{counts.drafted} drafted, {counts.accepted} accepted, {counts.target_steps} target steps"
        f" for {size} tokens"
    )
    if counts.accepted > min(counts.drafted, size) or steps + counts.accepted < size - 1:
        return f"counts {said}"
    if not _certain(one, seen) or counts.target_steps is None:
        return ""
    at_home = home.acceptance(seen.scenario.world, True, one.request.params)
    if at_home.wasted or not at_home.gained:
        return ""
    if steps + counts.accepted > size + 1 and home.bonus:
        return f"counts {said}, and every draft must have been accepted"
    never = size == steps == 1 and counts.drafted and not counts.accepted
    if never and one.request.params.temperature == 0 and at_home.gained > 1.5:
        return f"counts {said}: what cannot be accepted counts as drafted"
    return ""


def _certain(one: ReadAnswer, seen: SeenScenario) -> bool:
    """Whether every drafted token must be accepted: the draft is the target, and no tie is near."""
    same = seen.scenario.world.endswith("same") and seen.scenario.drafts
    return same and one.speculative and not bool(one.places.doubtful[: len(one.text)].any())


@relation(
    "acceptance",
    "acceptance",
    needs=("metrics",),
    wants=(("world", SAME), ("temperature", 0.0), ("drafts", True)),
    controlled=False,
)
def acceptance(seen: SeenScenario, home: Home) -> Iterator[RelationFinding]:
    """Are drafts accepted as often as they must be, in every surrounding?

    Draft = target: as many tokens a step as at home (alone, fresh, short). Another draft model at
    temperature 0: each place where it is wrong costs one draft at most. Lookup in a text that turns
    in a circle: some must be accepted. The text may be right and only slow. An engine that mixes
    drafts of several sources says `mixes_drafts`, and is not asked.
    """
    for one in seen.answers:
        counts = _metrics(one)
        known = one.speculative and counts.target_steps is not None and not one.impossible
        if not known or bool(one.places.doubtful[: len(one.text)].any()):
            continue
        if not seen.scenario.drafts:
            if _circles(one) and counts.drafted >= _LEAST_DRAFTED and home.looks_up:
                yield RelationFinding(_none_accepted(one), one.call, one.row)
        elif seen.scenario.world.endswith("same"):
            yield RelationFinding(_lost_to_itself(one, seen, home), one.call, one.row)
        elif _draft_knows(one, seen):
            yield RelationFinding(_lost_to_a_model(one, seen, home), one.call, one.row)


def _circles(one: ReadAnswer) -> bool:
    """Whether a text of 24 tokens or more ends periodically."""
    text = one.text
    if len(text) < 24 or (one.request.params.alters and one.request.sampled):
        return False
    return any(text[-20:-period] == text[-20 + period :] for period in range(2, 7))


def _none_accepted(one: ReadAnswer) -> str:
    counts = _metrics(one)
    if counts.accepted:
        return ""
    return (
        f"a text of {len(one.text)} tokens ends periodically: {counts.drafted} drafted, none"
        " accepted"
    )


def _lost_to_itself(one: ReadAnswer, seen: SeenScenario, home: Home) -> str:
    """Draft = target."""
    counts, size = _metrics(one), len(one.text)
    steps, lost = counts.target_steps or 0, counts.drafted - counts.accepted
    bare = replace(DEFAULT, temperature=0.0, max_new_tokens=one.request.params.max_new_tokens)
    plain = replace(one.request.params, stop_ids=()) == bare
    if plain and counts.drafted >= _LEAST_DRAFTED and not counts.accepted:
        return f"draft = target, yet none of {counts.drafted} drafted tokens is accepted"
    if not lost:
        return ""
    at_home = home.acceptance(seen.scenario.world, True, one.request.params)
    wasted = 1.25 * at_home.wasted * steps + at_home.longest - 1
    gained = size / max(1, steps - 1)
    if at_home.gained > 1.5 and lost > wasted and gained < 0.9 * at_home.gained and steps > 2:
        return (
            f"draft = target, yet {lost} of {counts.drafted} drafted tokens are rejected in a text"
            f" of {size} ({size / steps:.1f} tokens a step, {at_home.gained:.1f} at home)"
        )
    return ""


def _draft_knows(one: ReadAnswer, seen: SeenScenario) -> bool:
    """Whether the draft model's own scores say where it is wrong: greedy text, no parameters that a
    draft need not know of, no end of its context."""
    params = one.request.params
    bare = not (params.logit_bias or params.min_tokens)
    bare &= params.presence_penalty == 0 and params.frequency_penalty == 0
    bare &= params.repetition_penalty == 1 and params.temperature == 0
    draft = seen.toy.draft.config
    fits = len(one.request.prompt) + len(one.text) + 8 < draft.max_position_embeddings
    small = seen.toy.vocabulary == draft.vocab_size < 99
    return bare and fits and small


def _lost_to_a_model(one: ReadAnswer, seen: SeenScenario, home: Home) -> str:
    """Another draft model: it loses a draft at most where it is wrong."""
    counts, size = _metrics(one), len(one.text)
    lost = counts.drafted - counts.accepted
    at_home = home.acceptance(SAME, True, replace(DEFAULT, temperature=0.0))
    if not lost or at_home.gained <= 1.5 or at_home.wasted:
        return ""
    whole = [*one.request.prompt, *one.text]
    (table,) = scores(seen.toy.draft, [whole], [len(one.request.prompt)])
    best = table[:size].topk(2, -1)
    near = best.values[:, 0] - best.values[:, 1] < TOY_TIE
    missed = int(((best.indices[:, 0] != torch.tensor(one.text)) | near).sum())
    if lost <= missed * at_home.longest + at_home.longest - 1:
        return ""
    return (
        f"the draft model is wrong at {missed} of {size} places, yet {lost} of {counts.drafted}"
        f" drafted tokens are rejected, {at_home.longest} at a time at most"
    )
