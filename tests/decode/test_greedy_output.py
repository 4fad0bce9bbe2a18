"""With temperature 0 the text is the target's own greedy text, token for token, whatever the
drafter proposes.

Protects: the whole loop: what is verified against which row, what stays in the cache, positions,
ragged batches, rows that leave, trees. The reference is an argmax of forwards from scratch, without
cache, draft, rule or probs().
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from specref.data import SamplingParams
from specref.decode import generate
from specref.verify import RULES

from tests.decode.players import Bushy, drafters, greedy_tree
from tests.stub import DEVICES, Drawn, Scripted, Told, greedy_text, scramble, tiny


def pair(device):
    """Two models, the second with grouped keys."""
    return [tiny(seed=seed, layers=2, groups=1 + seed, device=device) for seed in (0, 1)]


MODELS = {device: pair(device) for device in DEVICES}
NAMES = list(drafters(MODELS["cpu"][0]))


@st.composite
def batches(draw):
    """Prompts and how many tokens each of them wants."""
    rows = draw(st.integers(1, 4))
    token = st.integers(0, 10)
    return (
        [draw(st.lists(token, min_size=1, max_size=6)) for _ in range(rows)],
        [
            SamplingParams(temperature=0, max_new_tokens=draw(st.integers(0, 12)))
            for _ in range(rows)
        ],
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40)
@given(
    batch=batches(),
    gamma=st.integers(0, 5),
    rule=st.sampled_from(sorted(RULES)),
    salt=st.integers(0, 9),
    which=st.integers(0, 1),
)
def test_any_drafter_and_any_rule_give_the_targets_greedy_text(
    device, name, batch, gamma, rule, salt, which
):
    model, (prompts, params) = MODELS[device][which], batch
    done = generate(model, drafters(model, salt)[name](), RULES[rule], prompts, params, gamma=gamma)
    for prompt, wanted, got in zip(prompts, params, done, strict=True):
        assert got.tokens == greedy_text(model, prompt, wanted.max_new_tokens)
        assert got.finish_reason == "length"


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=40)
@given(batch=batches(), salt=st.integers(0, 99), rule=st.sampled_from([greedy_tree, RULES["tree"]]))
def test_trees_give_the_targets_greedy_text(device, batch, salt, rule):
    model, (prompts, params) = MODELS[device][0], batch
    done = generate(model, Bushy(model, salt), rule, prompts, params, gamma=7)
    for prompt, wanted, got in zip(prompts, params, done, strict=True):
        assert got.tokens == greedy_text(model, prompt, wanted.max_new_tokens)


@given(
    batch=batches(),
    salt=st.integers(0, 99),
    gamma=st.integers(0, 5),
    rule=st.sampled_from(sorted(RULES)),
)
def test_a_target_that_is_any_function_of_the_text_is_followed(batch, salt, gamma, rule):
    """The scripted target also fails where it sees anything but a text, in order and without
    gaps.
    """

    def script(text):
        return [scramble(text, salt + token, 10**6) for token in range(11)]

    def best(text):
        return max(range(11), key=lambda token: script(tuple(text))[token])

    def tell(text, most):
        text, start = list(text), len(text)
        for i in range(scramble(text, salt, most + 1)):
            text.append(best(text) if scramble(text, i, 4) else 3)
        return text[start:]

    prompts, params = batch
    done = generate(
        Scripted(11, script),  # type: ignore[arg-type]
        Told(tell),
        RULES[rule],
        prompts,
        params,
        gamma=gamma,
    )
    for prompt, wanted, got in zip(prompts, params, done, strict=True):
        text = list(prompt)
        for _ in range(wanted.max_new_tokens):
            text.append(best(text))
        assert got.tokens == text[len(prompt) :]


def test_a_draft_is_really_used():
    """No vacuous parity: a draft that is right saves target forwards, and one that is wrong is
    rejected.
    """
    model = MODELS["cpu"][0]
    steps = {}
    for name in ("nothing", "the target itself", "half right", "the worst"):
        params = SamplingParams(temperature=0, max_new_tokens=21)
        steps[name] = generate(
            model, drafters(model)[name](), RULES["greedy"], [[1, 2, 3]], params, gamma=4
        )[0]
    assert steps["nothing"].target_steps == steps["the worst"].target_steps == 21
    assert steps["the worst"].drafted == 4 * 17 + 3 + 2 + 1
    assert steps["the worst"].accepted == 0
    assert steps["the target itself"].target_steps == 5
    assert 5 < steps["half right"].target_steps < 21


def test_equal_scores_go_to_the_lowest_id_in_draft_and_target_alike():
    target = Scripted(4, lambda text: [0.0, 2.0, 2.0, 2.0 if len(text) % 2 else 0.0])
    for rule in RULES.values():
        for drafter in (
            Told(lambda text, most: [2] * most),
            Told(lambda text, most: [1] * most),
            Drawn(lambda text: [0.0, 0.5, 0.5, 0.0], lambda text, most: most),
        ):
            params = SamplingParams(temperature=0, max_new_tokens=9)
            done = generate(
                target,  # type: ignore[arg-type]
                drafter,
                rule,
                [[0]],
                params,
                gamma=3,
            )
            assert done[0].tokens == [1] * 9
