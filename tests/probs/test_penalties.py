"""What probs() does beyond transformers: penalties by formula, the history of each draft position,
rows of one batch.

Protects: presence and frequency penalties, min_tokens, the drafted prefix in the history (and
rejected drafts out of it), and that a row's distribution never depends on the rows beside it.
"""

import torch
from hypothesis import given
from hypothesis import strategies as st
from specref.data import Draft, SamplingParams
from specref.probs import History, history, needs_history, probs
from torch import Tensor

from tests.probs.test_hugging_face import logits, parameters

TOKENS = st.lists(st.integers(0, 7), max_size=6)
ALL = SamplingParams(
    repetition_penalty=1.5,
    presence_penalty=0.4,
    frequency_penalty=0.3,
    min_tokens=4,
    stop_ids=(2, 5),
)


@given(
    scores=logits(),
    prompt=TOKENS,
    output=TOKENS,
    presence=st.sampled_from([0.0, 0.7, -1.0]),
    frequency=st.sampled_from([0.0, 0.4, -0.2]),
)
def test_presence_and_frequency_follow_their_formula(
    scores: Tensor, prompt: list[int], output: list[int], presence: float, frequency: float
) -> None:
    """score - presence [stands in the output] - frequency (times it stands there); the prompt does
    not count.
    """
    params = SamplingParams(presence_penalty=presence, frequency_penalty=frequency)
    distribution = probs(scores[:, None], [params], history([prompt + output], [len(prompt)], 8))[
        0, 0
    ]
    expected = scores[0].clone()
    for token in range(8):
        expected[token] -= presence * (token in output) + frequency * output.count(token)
    assert torch.allclose(distribution, expected.softmax(-1), atol=1e-6)


def test_repetition_comes_before_presence() -> None:
    """The order is seen where both apply: 2/1.5 - 0.4, not (2 - 0.4)/1.5."""
    params = SamplingParams(repetition_penalty=1.5, presence_penalty=0.4)
    distribution = probs(torch.tensor([[[2.0, 0.0]]]), [params], history([[0]], [0], 2))[0, 0]
    assert torch.allclose(distribution, torch.tensor([2 / 1.5 - 0.4, 0.0]).softmax(-1), atol=1e-6)


def test_bias_comes_before_repetition() -> None:
    params = SamplingParams(repetition_penalty=2.0, logit_bias={0: 3.0})
    distribution = probs(torch.tensor([[[-1.0, 0.0]]]), [params], history([[0]], [1], 2))[0, 0]
    assert torch.allclose(distribution, torch.tensor([(-1 + 3) / 2, 0.0]).softmax(-1), atol=1e-6)


@given(prompt=TOKENS, output=TOKENS)
def test_no_stop_token_before_min_tokens(prompt: list[int], output: list[int]) -> None:
    params = SamplingParams(min_tokens=4, stop_ids=(2, 5, 99))
    distribution = probs(
        torch.zeros(1, 1, 8), [params], history([prompt + output], [len(prompt)], 8)
    )[0, 0]
    assert bool((distribution[[2, 5]] == 0).all()) == (len(output) < 4)
    assert bool((distribution[[0, 1, 3, 4, 6, 7]] > 0).all())


@st.composite
def drafts(draw: st.DrawFn) -> tuple[Draft, list[list[list[int]]]]:
    """Two rows of a random tree (or a chain) with ragged lengths, and the drafted path to every
    position.
    """
    count, chain = draw(st.integers(0, 5)), draw(st.booleans())
    tokens = draw(
        st.lists(
            st.lists(st.integers(0, 7), min_size=count, max_size=count), min_size=2, max_size=2
        )
    )
    parents: list[list[int]] = []
    for _ in range(2):
        parents.append([i - 1 if chain else draw(st.integers(-1, i - 1)) for i in range(count)])
    lengths = [draw(st.integers(0, count)) for _ in range(2)]
    paths: list[list[list[int]]] = []
    for row in range(2):
        paths.append([[]])
        for i in range(lengths[row]):
            paths[row].append([*paths[row][parents[row][i] + 1], tokens[row][i]])
        tokens[row][lengths[row] :] = [-1] * (count - lengths[row])
        parents[row][lengths[row] :] = [77] * (count - lengths[row])
    return (
        Draft(
            torch.tensor(tokens).reshape(2, count),
            torch.tensor(parents).reshape(2, count),
            None,
            torch.tensor(lengths),
        ),
        paths,
    )


@given(
    drawn=drafts(),
    texts=st.lists(st.tuples(TOKENS, TOKENS), min_size=2, max_size=2),
    scores=logits(),
)
def test_each_draft_position_sees_its_own_path(
    drawn: tuple[Draft, list[list[list[int]]]],
    texts: list[tuple[list[int], list[int]]],
    scores: Tensor,
) -> None:
    """The distribution at a node equals the distribution after the same text without any draft:
    siblings and padding do not count.
    """
    draft, paths = drawn
    whole = [prompt + output for prompt, output in texts]
    past = history(whole, [len(prompt) for prompt, _ in texts], 8, draft)
    nodes = draft.tokens.shape[1] + 1
    distribution = probs(scores.expand(2, nodes, 8), [ALL, ALL], past)
    for row, (prompt, output) in enumerate(texts):
        for node, path in enumerate(paths[row]):
            alone = probs(
                scores[:, None], [ALL], history([prompt + output + path], [len(prompt)], 8)
            )
            assert torch.equal(distribution[row, node], alone[0, 0])


ROW = st.tuples(parameters(), logits(), TOKENS, TOKENS, st.sampled_from([None, 0.0]))


@given(rows=st.lists(ROW, min_size=2, max_size=3), presence=st.sampled_from([0.0, 0.5]))
def test_a_rows_distribution_is_its_own(
    rows: list[tuple[SamplingParams, Tensor, list[int], list[int], float | None]], presence: float
) -> None:
    """Rows of different parameters in one batch equal, to the bit, each row alone."""
    params = [
        SamplingParams(
            **{
                **vars(s),
                "presence_penalty": presence * (i % 2),
                "temperature": s.temperature if heat is None else heat,
            }
        )
        for i, (s, _, _, _, heat) in enumerate(rows)
    ]
    texts, prompts = (
        [prompt + output for _, _, prompt, output, _ in rows],
        [len(prompt) for _, _, prompt, _, _ in rows],
    )
    together = probs(
        torch.stack([scores for _, scores, *_ in rows]), params, history(texts, prompts, 8)
    )
    for row, (_, scores, *_) in enumerate(rows):
        past: History | None = (
            history([texts[row]], [prompts[row]], 8) if needs_history([params[row]]) else None
        )
        assert torch.equal(together[row], probs(scores[None], [params[row]], past)[0])
