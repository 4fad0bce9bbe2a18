"""A model that drafts says the distribution it drew from, and its cache is right after whatever
became of its draft.

Protects: q (temperature, filters and penalties included), the catch-up of the cache after
acceptance, rejection and cycles without a draft, ragged budgets, rows that leave, the end of the
draft's own context, one shared vocabulary.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specref.chance import Streams
from specref.data import SamplingParams, SpecrefError, Verdict
from specref.decode import generate
from specref.draft.base import Text
from specref.draft.early_exit import EarlyExitDrafter
from specref.draft.model import ModelDrafter
from specref.exact.enumerate import distributions
from specref.model.transformer import Transformer
from specref.probs import history, probs
from specref.verify import RULES

from tests.stub import DEVICES, generate_with, own_logits, tiny

SMALL = tiny(vocabulary=4, layers=2)
MODELS = {device: tiny(device=device) for device in DEVICES}
DRAFTERS = {"model": lambda: ModelDrafter(SMALL), "early exit": lambda: EarlyExitDrafter(SMALL, 1)}
PARAMS = {
    "plain": SamplingParams(),
    "temperature": SamplingParams(temperature=0.6),
    "greedy": SamplingParams(temperature=0),
    "top-k": SamplingParams(top_k=2),
    "top-p": SamplingParams(top_p=0.7),
    "min-p": SamplingParams(min_p=0.3),
    "penalties": SamplingParams(
        repetition_penalty=1.7, presence_penalty=0.4, frequency_penalty=0.3
    ),
    "bias": SamplingParams(logit_bias={0: -torch.inf, 2: 1.0}),
    "late stop": SamplingParams(min_tokens=3, stop_ids=(1,)),
}


def own_distribution(
    model: Transformer, text: list[int], prompt: int, params: SamplingParams
) -> torch.Tensor:
    """[V]: the distribution after `text`, from scratch."""
    vocabulary = model.config.vocab_size
    past = history([text], [prompt], vocabulary, device=model.device)
    return probs(own_logits(model, text)[None, None], [params], past)[0, 0]


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("drafter", DRAFTERS)
def test_the_reported_q_is_the_distribution_that_the_tokens_were_drawn_from(drafter, params):
    texts, prompts, budget = [[3, 1, 0, 2], [2], [1, 1, 3]], [2, 1, 3], torch.tensor([3, 2, 0])
    reported: list[dict[tuple[int, ...], float]] = [{}, {}, {}]

    def program(chance, root):
        text = Text(
            [list(texts[i]) for i in root],
            [prompts[i] for i in root],
            [PARAMS[params]] * len(root),
            4,
        )
        player = DRAFTERS[drafter]()
        player.begin(text, 16)
        draft = player.propose(text, budget[root], chance)
        assert draft.lengths.tolist() == budget[root].tolist()
        outcomes = []
        for row, count in enumerate(draft.lengths.tolist()):
            tokens = tuple(draft.tokens[row, :count].tolist())
            assert draft.q is not None
            reported[root[row]][tokens] = float(draft.q[row, range(count), tokens].prod())
            outcomes.append(tokens)
        return outcomes

    for row, drawn in enumerate(distributions(program, 3)):
        assert drawn == pytest.approx(reported[row], abs=1e-12)
        assert sum(drawn.values()) == pytest.approx(1, abs=1e-12)


@st.composite
def lives(draw):
    """What may become of three rows over several cycles: budgets, tokens kept, the next token, who
    leaves.
    """
    number = st.integers(0, 4)
    cycle = st.tuples(*[st.tuples(number, number, st.integers(0, 10), st.integers(0, 9))] * 3)
    return draw(st.lists(st.integers(1, 6), min_size=3, max_size=3)), draw(
        st.lists(cycle, min_size=1, max_size=5)
    )


@pytest.mark.parametrize("device", DEVICES)
@given(life=lives())
@torch.inference_mode()
def test_q_is_that_of_the_text_whatever_became_of_the_drafts_before(device, life):
    starts, story = life
    params = SamplingParams(temperature=0.8, repetition_penalty=1.3)
    prompts, ends = [], []
    for row, length in enumerate(starts):
        prompts.append([(3 * i + row) % 11 for i in range(length)])
        ends.append(length + sum(min(cycle[row][:2]) + 1 for cycle in story))
    text = Text(prompts, starts, [params] * 3, 11)
    drafter, chance, alive = ModelDrafter(MODELS[device]), Streams([1, 2, 3]), [0, 1, 2]
    drafter.begin(text, max(ends) + 5)
    for cycle in story:
        budget = torch.tensor([cycle[row][0] for row in alive])
        draft = drafter.propose(text, budget, chance)
        assert draft.lengths.tolist() == budget.tolist()
        for row, count in enumerate(budget.tolist()):
            drafted = draft.tokens[row].tolist()
            for i in range(count):
                wanted = own_distribution(
                    MODELS[device], text.tokens[row] + drafted[:i], text.prompts[row], params
                )
                assert draft.q is not None
                torch.testing.assert_close(draft.q[row, i], wanted, rtol=0, atol=1e-10)
        kept = torch.tensor(
            [min(cycle[row][1], count) for row, count in zip(alive, budget.tolist(), strict=True)]
        )
        drafter.commit(kept)
        for row, number in enumerate(alive):
            text.tokens[row] += [*draft.tokens[row, : kept[row]].tolist(), cycle[number][2]]
        going = [row for row, number in enumerate(alive) if cycle[number][3] or row == 0]
        if len(going) < len(alive):
            alive = [alive[row] for row in going]
            text, chance = text.rows(going), chance.rows(going)
            drafter.rows(going)


@torch.inference_mode()
def test_a_row_that_fell_far_behind_catches_up_beside_one_that_did_not():
    model, texts = MODELS["cpu"], [[1, 2, 3] * 6, [4, 5] * 6]
    text = Text(texts, [18, 12], [SamplingParams()] * 2, 11)
    drafter, chance = ModelDrafter(model), Streams([1, 2])
    drafter.begin(text, 18 + 2 + 2 + 1)
    for budget in ([0, 2], [2, 2]):
        draft = drafter.propose(text, torch.tensor(budget), chance)
        before = [list(tokens) for tokens in text.tokens]
        drafter.commit(torch.tensor([0, 0]))
        for tokens in text.tokens:
            tokens.append(7)
    for row in range(2):
        wanted = own_distribution(model, before[row], text.prompts[row], SamplingParams())
        assert draft.q is not None
        torch.testing.assert_close(draft.q[row, 0], wanted, rtol=0, atol=1e-10)


@given(
    st.lists(st.sampled_from(["all", "empty", 0, 1, 2]), min_size=1, max_size=5), st.integers(0, 9)
)
def test_a_target_that_drafts_for_itself_is_always_accepted(schedule, seed):
    """Also right after a cycle that was cut at 0, 1 or 2 tokens, or that had no draft."""
    target = MODELS["cpu"]
    turn: list[int] = []

    class Sometimes(ModelDrafter):
        def propose(self, text, budget, chance):
            turn.append(schedule[len(turn) % len(schedule)])
            return super().propose(text, budget * (turn[-1] != "empty"), chance)

    def rule(draft, p, chance):
        verdict = RULES["rejection"](draft, p, chance)
        assert verdict.accepted.tolist() == draft.lengths.tolist(), f"cycle {len(turn)} of {turn}"
        if turn[-1] in ("all", "empty"):
            return verdict
        kept = verdict.accepted.clamp(max=turn[-1])
        return Verdict(verdict.path, kept, (verdict.next_token + 1) % 11)

    prompts = [[1, 2, 3], [4], [5, 6, 7, 8, 9]]
    params = [SamplingParams(seed=seed + row, max_new_tokens=20 - 4 * row) for row in range(3)]
    generate(target, Sometimes(target), rule, prompts, params, gamma=3)
    assert len(turn) >= 5


@pytest.mark.parametrize("rule", ["rejection", "block", "greedy"])
def test_a_draft_that_is_the_target_is_accepted_to_the_last_token(rule):
    params = SamplingParams(temperature=0 if rule == "greedy" else 1, seed=3, max_new_tokens=25)
    for done in generate(
        MODELS["cpu"], ModelDrafter(MODELS["cpu"]), RULES[rule], [[1, 2], [3]], params, gamma=4
    ):
        assert done.accepted == done.drafted == 20
        assert done.target_steps == 5


def test_a_draft_with_another_vocabulary_is_refused():
    with pytest.raises(SpecrefError, match="the draft has 4 tokens and the target 11"):
        generate(MODELS["cpu"], ModelDrafter(SMALL), RULES["rejection"], [[1]], SamplingParams())
    with pytest.raises(SpecrefError, match="the draft has 11 tokens and the target 4"):
        generate(SMALL, ModelDrafter(MODELS["cpu"]), RULES["rejection"], [[1]], SamplingParams())


def test_where_the_drafts_own_context_ends_the_target_goes_on_alone():
    target, draft = MODELS["cpu"], tiny(seed=1, context=12)
    lengths: dict[int, list[int]] = {0: [], 1: []}

    def watch(cycle):
        for row, number in enumerate(cycle.rows):
            lengths[number].append(int(cycle.draft.lengths[row]))

    params = SamplingParams(temperature=0, max_new_tokens=30)
    with_draft = generate_with(
        target,
        ModelDrafter(draft),
        RULES["greedy"],
        [[1] * 9, [2] * 20],
        params,
        gamma=5,
        watch=watch,
    )
    assert lengths[0][0] == 3, "9 tokens of 12 are taken"
    assert lengths[0][-1] == 0
    assert set(lengths[1]) == {0}
    for prompt, done in zip([[1] * 9, [2] * 20], with_draft, strict=True):
        alone = generate(target, ModelDrafter(target), RULES["greedy"], [prompt], params, gamma=0)[
            0
        ]
        assert done.tokens == alone.tokens
        assert len(done.tokens) == 30
