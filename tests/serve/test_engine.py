"""One step at a time: what the engine reads, decodes, counts and holds is known beforehand.

Protects: requests that share a name, a prompt or a step with others, and the counts that the bench
and the pages show.
"""

from dataclasses import replace

import pytest
import torch
from specref.chance import Streams
from specref.data import Draft, SamplingParams, SpecrefError
from specref.draft.base import Drafter
from specref.draft.none import NoDrafter
from specref.serve import ServingEngine, ServingSettings
from specref.serve.depth_policy import DepthPolicy
from specref.verify import RULES

from tests.stub import Told, own_logits, tiny

MODEL = tiny(seed=8, vocabulary=7, layers=1, context=48)
GREEDY = SamplingParams(temperature=0, max_new_tokens=6)


def engine(drafter: Drafter | None = None, chance_of=None, **settings) -> ServingEngine:
    return ServingEngine(
        MODEL,
        drafter or NoDrafter(),
        RULES["rejection"],
        ServingSettings(**{"gamma": 2, "blocks": 20, "block_size": 4} | settings),
        chance_of,
    )


def greedy(prompt: list[int], count: int) -> list[int]:
    text = list(prompt)
    for _ in range(count):
        text.append(int(own_logits(MODEL, text).argmax()))
    return text[len(prompt) :]


def right(depth: int = 9) -> Told:
    """Proposes what the greedy target writes, as far as it may."""
    return Told(lambda text, budget: greedy(text, min(depth, budget)))


def test_a_step_reads_a_prompt_then_decodes_and_counts_itself() -> None:
    """Nine tokens, the last of them pending: two chunks of four, then two cycles of three tokens.
    Without anything to do a step is none."""
    serving = engine(right(), chunk=4)
    assert serving.step() == []
    assert not serving.busy
    assert serving.steps == 0
    serving.add([1, 2, 3, 4, 5, 6, 1, 2, 3], GREEDY, "one")
    wanted = greedy([1, 2, 3, 4, 5, 6, 1, 2, 3], 6)
    seen = [serving.step() for _ in range(4)]
    assert [len(events) for events in seen] == [0, 0, 1, 1]
    first, last = seen[2][0], seen[3][0]
    assert (first.tokens, first.kept, first.ended) == (wanted[:3], 2, False)
    assert (last.tokens, last.kept, last.ended) == (wanted[3:], 2, True)
    assert (first.so_far.tokens, first.so_far.finish_reason) == (wanted[:3], "")
    assert (last.so_far.tokens, last.so_far.finish_reason) == (wanted, "length")
    assert (serving.steps, serving.served, serving.busy) == (4, 1, False)
    assert serving.generate([[1]], GREEDY)
    assert serving.served == 2


def test_an_engine_has_the_usual_settings_unless_it_gets_others() -> None:
    usual = ServingEngine(MODEL, NoDrafter(), RULES["rejection"]).settings
    assert usual == ServingSettings()
    assert (usual.gamma, usual.rows, usual.chunk) == (5, 32, 64)
    assert (usual.blocks, usual.block_size, usual.share) == (512, 16, True)
    mine = ServingSettings(gamma=1, blocks=4)
    assert ServingEngine(MODEL, NoDrafter(), RULES["rejection"], mine).settings is mine


@pytest.mark.parametrize("size", [{"gamma": 0}, {"rows": 1}, {"chunk": 1}])
def test_the_smallest_settings_that_serve_somebody(size: dict) -> None:
    serving = engine(**size)
    assert serving.generate([[1, 2]], GREEDY)[0].tokens == greedy([1, 2], 6)


def test_requests_are_named_in_order_of_arrival_unless_they_have_names() -> None:
    serving = engine()
    names = [serving.add([1], GREEDY), serving.add([2], GREEDY, "mine"), serving.add([3], GREEDY)]
    assert names == ["request-0", "mine", "request-2"]


def test_a_name_of_one_of_several_requests_is_in_use() -> None:
    serving = engine()
    for name in ("one", "two", "three"):
        serving.add([1], GREEDY, name)
    for name in ("one", "two", "three"):
        with pytest.raises(SpecrefError, match="is being served"):
            serving.add([1], GREEDY, name)
    assert serving.add([1], GREEDY, "four") == "four"


def test_of_a_draft_that_is_cut_by_a_stop_the_emitted_tokens_alone_are_kept() -> None:
    """Both drafted tokens are right, and the first ends the text."""
    wanted = greedy([1, 2], 3)
    serving = engine(right())
    serving.add([1, 2], replace(GREEDY, stop_ids=(wanted[0],)), "one")
    events = [event for _ in range(2) for event in serving.step()]
    assert [(event.tokens, event.kept) for event in events] == [(wanted[:1], 1)]


def test_memory_is_what_the_blocks_hold_and_have_room_for() -> None:
    """Blocks of four. Of nine prompt tokens eight are read: two blocks, full. The other request has
    its first two tokens in a block. Then each has written three and pending is the last."""
    serving = engine(right(), chunk=10)
    assert serving.memory == (0, 0)
    serving.add([1, 2, 3, 4, 5, 6, 1, 2, 3], GREEDY)
    serving.add([4, 5, 6], GREEDY)
    serving.step()
    assert serving.memory == (12, 10)
    serving.step()
    assert serving.memory == (20, 8 + 3 + 2 + 3)
    serving.step()
    assert serving.memory == (0, 0)


def test_blocks_that_two_requests_share_count_once() -> None:
    """Both prompts begin with the same eight tokens, two blocks; one goes on for two tokens more.
    The second is found when the first was read."""
    serving = engine(chunk=12)
    serving.add([1, 2, 3, 4, 5, 6, 1, 2, 3], GREEDY)
    serving.step()
    serving.add([1, 2, 3, 4, 5, 6, 1, 2, 5, 5, 5], GREEDY)
    serving.step()
    assert serving.memory == (16, 8 + 1 + 2)
    assert (serving.hits, serving.looked) == (8, 8 + 10)


@pytest.mark.parametrize(("share", "counts"), [(True, (8, 16)), (False, (0, 0))])
def test_a_prompt_is_looked_for_where_blocks_may_be_shared(
    share: bool, counts: tuple[int, int]
) -> None:
    serving = engine(share=share)
    prompt = [1, 2, 3, 4, 5, 6, 1, 2, 3]
    for _ in range(2):
        assert serving.generate([prompt], GREEDY)[0].tokens == greedy(prompt, 6)
    assert (serving.hits, serving.looked) == counts


def test_a_row_that_stays_is_not_looked_for_again() -> None:
    """One request leaves and another comes beside a third that goes on."""
    serving = engine(rows=2)
    for count, name in ((8, "long"), (2, "short"), (2, "next")):
        serving.add([1, 2], replace(GREEDY, max_new_tokens=count), name)
    while serving.busy:
        serving.step()
    assert serving.looked == 3, "one token before the pending one, once each"


@pytest.mark.parametrize(("blocks", "fits"), [(3, True), (2, False)])
@pytest.mark.parametrize("gamma", [0, 2, 9])
def test_a_request_needs_its_text_and_its_last_draft(blocks: int, fits: bool, gamma: int) -> None:
    """Six prompt and six new tokens. The pending token before the last needs no more than eleven
    places, whatever part of the rest was drafted: three blocks of four."""
    serving = engine(right(), blocks=blocks, gamma=gamma)
    prompt = [1, 2, 3, 4, 5, 6]
    if fits:
        assert serving.generate([prompt], GREEDY)[0].tokens == greedy(prompt, 6)
    else:
        with pytest.raises(SpecrefError, match="6 prompt and 6 new tokens need 3 blocks"):
            serving.add(prompt, GREEDY)


class Bushy(Told):
    """A tree of three nodes a level, of which the first is right."""

    def nodes(self, gamma: int) -> int:
        return 3 * gamma


def test_a_tree_needs_room_for_all_its_nodes() -> None:
    """Four prompt tokens, six new ones, and of the last three two levels of three nodes each: 4 + 3
    + 6 places; of one new token none is drafted."""
    serving = engine(Bushy(lambda text, budget: []), blocks=3)
    with pytest.raises(SpecrefError, match="need 4 blocks"):
        serving.add([1, 2, 3, 4], GREEDY)
    serving.add([1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6], replace(GREEDY, max_new_tokens=1))


def test_the_last_level_of_a_tree_is_that_of_the_last_token_but_one() -> None:
    """Of two new tokens one may be drafted: a level of three nodes behind six prompt tokens."""
    serving = engine(Bushy(lambda text, budget: []), blocks=2)
    with pytest.raises(SpecrefError, match="need 3 blocks"):
        serving.add([1, 2, 3, 4, 5, 6], replace(GREEDY, max_new_tokens=2))
    serving.add([1, 2, 3, 4, 5], replace(GREEDY, max_new_tokens=2))


def test_a_request_may_fill_every_block() -> None:
    prompt = [1, 2, 3, 4, 5, 6, 1]
    serving = engine(blocks=3)
    assert serving.generate([prompt], GREEDY)[0].tokens == greedy(prompt, 6)


def test_a_prompt_may_fill_every_block_before_its_only_token() -> None:
    """It is admitted at once: no draft needs a place."""
    serving = engine(blocks=2, chunk=3)
    serving.add([1, 2, 3, 4, 5, 6, 1, 2], replace(GREEDY, max_new_tokens=1), "one")
    serving.step()
    assert [one.name for one in serving.running] == ["one"]


@pytest.mark.parametrize("length", range(1, 7))
def test_a_prompt_of_any_length_is_read_whole_where_nothing_is_shared(length: int) -> None:
    prompt = [1, 2, 3, 4, 5, 6][:length]
    assert engine(share=False).generate([prompt], GREEDY)[0].tokens == greedy(prompt, 6)


def test_cancelling_one_leaves_the_others_alone() -> None:
    serving = engine()
    for name in ("a", "b", "c"):
        serving.add([1, 2, 3], GREEDY, name)
    for _ in range(3):
        serving.step()
    serving.cancel("b")
    done = {}
    while serving.busy:
        for event in serving.step():
            done[event.name] = event.so_far.tokens
    assert done == dict.fromkeys(("a", "c"), greedy([1, 2, 3], 6))


def test_generating_beside_requests_of_others_gives_only_its_own() -> None:
    """The others go on where they were."""
    serving = engine(rows=3)
    serving.add([5, 6], replace(GREEDY, max_new_tokens=1), "ends first")
    serving.add([4, 4], replace(GREEDY, max_new_tokens=30), "goes on")
    done = serving.generate([[1, 2], [3]], GREEDY)
    assert [one.tokens for one in done] == [greedy([1, 2], 6), greedy([3], 6)]
    assert [one.name for one in serving.by_number.values()] == ["goes on"]
    with pytest.raises(SpecrefError, match="there is no prompt"):
        serving.generate([], GREEDY)
    assert len(serving.by_number) == 1


class Breaks(NoDrafter):
    """Drafts a token that is none as soon as it is told to."""

    broken = False

    def propose(self, text, budget, chance) -> Draft:
        if not self.broken:
            return super().propose(text, budget, chance)
        tokens = torch.full((len(budget), 1), 99)
        return Draft.chain(tokens, None, torch.ones(len(budget), dtype=torch.int64))


def test_a_step_that_fails_for_all_tells_each_and_frees_what_it_held() -> None:
    """Those that wait are served afterwards, and what ended before the step is told as well."""
    drafter = Breaks()
    serving = engine(drafter, rows=2)
    for name in ("a", "b", "waits"):
        serving.add([1, 2], GREEDY, name)
    serving.step()
    drafter.broken = True
    serving.add([1], replace(GREEDY, max_new_tokens=0), "nothing")
    events = {event.name: event for event in serving.step()}
    assert set(events) == {"nothing"}
    while len(events) < 3:
        events |= {event.name: event for event in serving.step()}
    assert set(events) == {"nothing", "a", "b"}
    assert [bool(events[name].error) for name in ("nothing", "a", "b")] == [False, True, True]
    assert all(event.ended for event in events.values())
    assert serving.pool.free == serving.pool.blocks
    drafter.broken = False
    assert [one.name for one in serving.by_number.values()] == ["waits"]
    while serving.busy:
        last = serving.step()
    assert (last[0].name, last[0].so_far.tokens) == ("waits", greedy([1, 2], 6))


def test_generating_tells_of_a_step_that_fails() -> None:
    drafter = Breaks()
    drafter.broken = True
    serving = engine(drafter)
    with pytest.raises(SpecrefError, match=r"outside 0\.\.6"):
        serving.generate([[1, 2], [3]], GREEDY)
    assert not serving.busy


class Noted(DepthPolicy):
    """Remembers which histories it was asked about."""

    def depths(self, histories, most):
        asked = {number: (one.kept, one.judged) for number, one in histories.items()}
        self.seen.append((asked, most))  # type: ignore[attr-defined]
        return {number: 1 + number % 2 for number in histories}


def test_a_policy_sees_the_histories_of_those_that_decode_and_is_obeyed() -> None:
    """The second request still reads its prompt in the first step. The first one drafts one token a
    cycle, all are right."""
    policy = Noted(lambda rows, tokens: 1.0)
    object.__setattr__(policy, "seen", [])
    serving = engine(right(), depth_policy=policy, chunk=3)
    serving.add([1, 2], GREEDY, "a")
    serving.add([1, 2, 3, 4, 5], GREEDY, "b")
    events = [event for _ in range(4) for event in serving.step()]
    assert [(one.name, len(one.tokens)) for one in events] == [
        ("a", 2),
        ("a", 2),
        ("b", 3),
        ("a", 2),
        ("b", 3),
    ]
    seen = policy.seen  # type: ignore[attr-defined]
    assert {most for _, most in seen} == {2}
    assert [set(asked) for asked, _ in seen] == [set(), {0}, {0, 1}, {0, 1}]
    assert seen[2][0] == {0: (1, 1), 1: (0, 0)}


def test_a_draft_is_never_deeper_than_what_is_left_to_write() -> None:
    """Of four tokens three are written in the first cycle; the last needs no draft."""
    budgets: list[int] = []

    def tell(text: list[int], budget: int) -> list[int]:
        budgets.append(budget)
        return greedy(text, budget)

    engine(Told(tell)).generate([[1, 2]], replace(GREEDY, max_new_tokens=4))
    assert budgets == [2, 0]


def test_the_chance_is_that_which_is_given() -> None:
    """It is asked for the numbers of the rows that decode; else each has its own seeded stream."""
    asked: list[list[int]] = []

    def chance_of(numbers: list[int]) -> Streams:
        asked.append(numbers)
        return Streams([9] * len(numbers))

    params = SamplingParams(seed=3, max_new_tokens=1)
    given = engine(chance_of=chance_of).generate([[1, 2], [1, 2]], params)
    assert given[0].tokens == given[1].tokens
    assert [sorted(numbers) for numbers in asked if numbers] == [[0, 1]]
    for seed in range(4):
        params = SamplingParams(seed=seed, max_new_tokens=1)
        wanted = Streams([seed]).draw(own_logits(MODEL, [1, 2]).softmax(-1)[None])
        assert engine().generate([[1, 2]], params)[0].tokens == wanted.tolist()


def test_preempted_requests_are_counted() -> None:
    """Two requests of nine tokens each at the end, and four blocks of four: the younger gives its
    blocks back and comes again."""
    serving = engine(blocks=4, gamma=0, rows=2)
    done = serving.generate([[1, 2, 3], [4, 5, 6]], replace(GREEDY, max_new_tokens=10))
    assert [one.tokens for one in done] == [greedy([1, 2, 3], 10), greedy([4, 5, 6], 10)]
    assert serving.preemptions == 1


class Reads(NoDrafter):
    """Keeps the states that it is shown, by the text that they belong to."""

    reads_states = True

    def __init__(self) -> None:
        self.seen: list[tuple[list[int], torch.Tensor]] = []

    def propose(self, text, budget, chance) -> Draft:
        for row, tokens in enumerate(text.tokens):
            count = 0 if text.fresh is None else int(text.fresh[row])
            states = torch.zeros(0, 16) if text.states is None else text.states[row, :count]
            self.seen.append((list(tokens), states))
        return super().propose(text, budget, chance)


@torch.inference_mode()
@pytest.mark.parametrize("chunk", [2, 20])
def test_a_drafter_that_reads_states_is_shown_those_of_the_tokens_committed_last(
    chunk: int,
) -> None:
    """For a new text those of the whole prompt but the pending token, later that of the token that
    was pending; also where the prompt came in chunks, was found in the cache, or has one token."""
    drafter = Reads()
    serving = engine(drafter, chunk=chunk)
    prompts = [[1, 2, 3, 4, 5, 6], [3], [1, 2, 3, 4, 5, 2]]
    serving.generate(prompts[:2], GREEDY)
    serving.generate(prompts[2:], GREEDY)
    begun = 0
    for text, states in drafter.seen:
        whole = MODEL.states(torch.tensor([text[:-1] or [0]]))[0]
        if text in prompts:
            begun += 1
            assert len(states) == len(text) - 1
        else:
            assert len(states) == 1
        torch.testing.assert_close(states, whole[len(whole) - len(states) :].to(states.dtype))
    assert begun == 3
