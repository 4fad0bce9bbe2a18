"""Every request is its own: its tokens depend on its prompt, parameters and seed, and not on the
batch it runs in.

Protects: one stream a row, greedy beside sampled rows, rows that finish early, fresh entropy
without a seed, and the numbers that a completion reports.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from specref.data import SamplingParams, SpecrefError
from specref.decode import Cycle, generate
from specref.verify import RULES

from tests.decode.players import drafters
from tests.stub import Scripted, Told, generate_with, scramble, tiny

MODEL = tiny(seed=2, sharp=1.0)
NAMES = list(drafters(MODEL))


@st.composite
def requests(draw):
    """A batch in which everything differs from row to row."""
    rows = []
    for _ in range(draw(st.integers(2, 4))):
        count = draw(st.integers(0, 10))
        rows.append(
            (
                draw(st.lists(st.integers(0, 10), min_size=1, max_size=5)),
                SamplingParams(
                    temperature=draw(st.sampled_from([0, 0.5, 1, 2])),
                    top_k=draw(st.sampled_from([0, 3])),
                    top_p=draw(st.sampled_from([1.0, 0.8])),
                    repetition_penalty=draw(st.sampled_from([1.0, 1.5])),
                    seed=draw(st.integers(0, 2**62)),
                    max_new_tokens=count,
                    min_tokens=draw(st.integers(0, count)),
                    stop_ids=draw(st.sampled_from([(), (3, 4)])),
                    stop_sequences=draw(st.sampled_from([(), ((1, 2), (5,))])),
                ),
            )
        )
    return rows


@settings(max_examples=40)
@given(
    batch=requests(),
    name=st.sampled_from(NAMES),
    rule=st.sampled_from(["rejection", "block", "matching"]),
    gamma=st.integers(0, 4),
    data=st.data(),
)
def test_a_row_is_the_same_alone_and_in_any_batch(batch, name, rule, gamma, data):
    def run(rows):
        return generate(
            MODEL,
            drafters(MODEL)[name](),
            RULES[rule],
            [prompt for prompt, _ in rows],
            [params for _, params in rows],
            gamma=gamma,
        )

    together = run(batch)
    order = data.draw(st.permutations(range(len(batch))))
    assert [run([row])[0] for row in batch] == together
    assert run([batch[i] for i in order]) == [together[i] for i in order]


@pytest.mark.parametrize("rule", ["rejection", "block", "matching"])
def test_greedy_and_sampled_rows_share_a_batch(rule):
    params = [SamplingParams(temperature=t, seed=5, max_new_tokens=12) for t in (0, 1, 0, 0.7)]
    mixed = generate(MODEL, drafters(MODEL)["model"](), RULES[rule], [[1, 2]] * 4, params, gamma=3)
    greedy = generate(MODEL, drafters(MODEL)["nothing"](), RULES["greedy"], [[1, 2]], params[0])[0]
    assert mixed[0].tokens == mixed[2].tokens == greedy.tokens
    assert len({tuple(row.tokens) for row in mixed}) == 3


# every text is equally likely: 32 tokens agree by chance once in 2^128
WIDE = Scripted(16, lambda text: [0.0] * 16)


def texts(seeds: list[int | None]) -> list[tuple[int, ...]]:
    params = [SamplingParams(seed=seed, max_new_tokens=32) for seed in seeds]
    tell = Told(lambda text, most: [scramble(text, i, 16) for i in range(most)])
    return [
        tuple(one.tokens)
        for one in generate(
            WIDE,  # type: ignore[arg-type]
            tell,
            RULES["rejection"],
            [[1]] * len(seeds),
            params,
            gamma=3,
        )
    ]


def test_a_seed_gives_the_same_text_again_and_another_seed_another():
    first = texts([1, 2, 1, 3])
    torch.manual_seed(9)
    assert texts([1, 2, 1, 3]) == first
    assert first[0] == first[2]
    assert len(set(first)) == 3


def test_rows_without_a_seed_differ_from_each_other_and_from_run_to_run():
    torch.manual_seed(0)
    first = texts([None] * 4 + [0])
    torch.manual_seed(0)
    again = texts([None] * 4 + [0])
    assert len(set(first + again)) == 9, "only the seeded row is the same"
    assert first[4] == again[4]


@settings(max_examples=40)
@given(
    batch=requests(),
    name=st.sampled_from(NAMES),
    rule=st.sampled_from(["rejection", "block", "matching"]),
    gamma=st.integers(0, 4),
)
def test_what_a_completion_reports_is_what_happened(batch, name, rule, gamma):
    watched: list[Cycle] = []
    forwards: list[int] = []
    prompts = [prompt for prompt, _ in batch]
    counting = MODEL.register_forward_hook(lambda *_: forwards.append(1))
    try:
        drafter = (
            Told(lambda text, most: []) if name == "the target itself" else drafters(MODEL)[name]()
        )
        done = generate_with(
            MODEL,
            drafter,
            RULES[rule],
            prompts,
            [params for _, params in batch],
            gamma=gamma,
            watch=watched.append,
        )
    finally:
        counting.remove()
    if name not in ("the worst", "half right"):  # those two ask the target themselves
        assert len(forwards) == len(watched), "a cycle costs one target forward"
    assert len(watched) == max(one.target_steps for one in done)
    for number, one in enumerate(done):
        written: list[int] = []
        drafted, kept, steps = 0, 0, 0
        for cycle in watched:
            if number not in cycle.rows:
                continue
            row = cycle.rows.index(number)
            proposed = cycle.draft.tokens[row, : cycle.draft.lengths[row]].tolist()
            gained = cycle.emitted[row]
            agreed = int(cycle.verdict.accepted[row])
            assert 1 <= len(gained) <= agreed + 1
            assert gained[:agreed] == proposed[: min(agreed, len(gained))]
            assert len(proposed) <= gamma
            written, drafted, steps = written + gained, drafted + len(proposed), steps + 1
            kept += min(agreed, len(gained))
        assert (one.tokens, one.drafted, one.accepted, one.target_steps) == (
            written,
            drafted,
            kept,
            steps,
        )


def test_one_set_of_parameters_serves_all_rows_or_there_is_one_each():
    with pytest.raises(SpecrefError, match="2 prompts and 1 sampling parameters"):
        generate(
            MODEL, drafters(MODEL)["nothing"](), RULES["greedy"], [[1], [2]], [SamplingParams()]
        )
    with pytest.raises(SpecrefError, match="gamma = -1 is not possible"):
        generate(
            MODEL, drafters(MODEL)["nothing"](), RULES["greedy"], [[1]], SamplingParams(), gamma=-1
        )
