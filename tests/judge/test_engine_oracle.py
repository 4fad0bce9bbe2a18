"""What the engine level stands on: toys that float32 holds exactly, and the enumerated distribution
of a text's first tokens.
"""

import itertools
import math

import pytest
import torch
from specref.judge import toys
from specref.judge.joint import Joint, enumerated
from specref.model.checkpoint import load


@pytest.mark.parametrize("name", toys.RECIPES)
def test_a_toy_is_a_checkpoint_that_float32_holds_exactly(name, tmp_path):
    made = toys.toy(name)
    for path, model in zip(made.write(tmp_path), (made.target, made.draft), strict=True):
        read = load(path)
        assert read.config.eos_token_id == (read.config.vocab_size - 1,)
        for key, value in read.state_dict().items():
            assert value.dtype == torch.float32
            assert torch.equal(value.double(), model.state_dict()[key])
        text = torch.arange(12)[None] % 8
        assert torch.allclose(read(text).logits.double(), model(text).logits, atol=1e-4)


def test_drafts_disagree_with_their_targets():
    text = torch.randint(7, (64, 12), generator=torch.Generator().manual_seed(0))

    def shared(name):
        made = toys.toy(name)
        return float(
            torch.minimum(made.target(text).logits.softmax(-1), made.draft(text).logits.softmax(-1))
            .sum(-1)
            .mean()
        )

    assert 0.5 < shared("small") < 0.8
    assert 0.5 < shared("wide") < 0.8
    assert shared("small-opposed") < 0.3
    assert shared("small-same") == pytest.approx(1)


def test_what_the_target_writes_is_known_without_a_tie_or_a_cache():
    for found in toys.written("wide", 48)[:4]:
        text = list(found.prompt)
        missed = []
        for place, token in enumerate(found.text):
            best = toys.toy("wide").target(torch.tensor([text])).logits[0, -1].topk(2)
            assert int(best.indices[0]) == token
            assert float(best.values[0] - best.values[1]) > toys.TOY_TIE
            if int(toys.toy("wide").draft(torch.tensor([text])).logits[0, -1].argmax()) != token:
                missed.append(place)
            text.append(token)
        assert tuple(missed) == found.missed


def test_the_joint_distribution_is_a_product_of_softmax_and_stays_at_the_end():
    made, prompt = toys.toy("small"), (4, 5, 2)
    distribution = enumerated(made.target, prompt, 2, made.eos).view(8, 8)
    assert float(distribution.sum()) == pytest.approx(1)
    for first, second in itertools.product(range(8), repeat=2):
        logs = made.target(torch.tensor([[*prompt, first]])).logits[0].log_softmax(-1)
        right = float(logs[2, first]) + float(logs[3, second])
        if first == made.eos:
            right = float(logs[2, first]) if second == made.eos else -math.inf
        assert float(distribution[first, second]) == pytest.approx(math.exp(right), abs=1e-12)


def test_texts_are_counted_where_they_belong():
    test = Joint(torch.full((64,), 1 / 64), None, 4, 3, 1e-6)
    test.add([[1, 2, 3], [1], [0, 3]], eos=3)
    assert test.tests[0].counts[0].tolist() == [1, 2, 0, 0]
    assert test.tests[2].counts[0].nonzero()[:, 0].tolist() == [15, 16 + 8 + 3, 16 + 15]


def test_the_distributions_of_all_lengths_share_the_false_alarms():
    test = Joint(torch.full((64,), 1 / 64), None, 4, 3, 3e-6)
    assert [one.alpha for one in test.tests] == pytest.approx([1e-6] * 3)


def test_a_joint_distribution_is_stated_from_five_draws_a_text_on_and_where_it_is_enough():
    """Two coins: four texts."""
    test = Joint(torch.full((4,), 1 / 4), None, 2, 2, 1e-6)
    assert test.stated(1.0)[0] == 1
    test.add([[0, 0], [0, 1], [1, 0], [1, 1]] * 4 + [[0, 1], [1, 0], [0, 0]], eos=9)
    assert test.stated(1.0)[0] == 1, "19 draws"
    test.add([[1, 1]], eos=9)
    depth, said = test.stated(1.0)
    assert (depth, said.n, said.rejected) == (2, 20, False)
    assert test.stated(said.mde)[0] == 2
    assert test.stated(said.mde - 1e-9) == (1, test.tests[0].finding())
    longer = Joint(torch.full((8,), 1 / 8), None, 2, 3, 1e-6)
    longer.add([[0, 0, 0], [0, 1, 0], [1, 0, 1], [1, 1, 1]] * 5, eos=9)
    assert longer.stated(1.0)[0] == 2, (
        "20 draws are enough for four texts of two tokens, not for eight of three"
    )
    test = Joint(torch.tensor([0.5, 0, 0, 0.5], dtype=torch.float64), None, 2, 2, 1e-6)
    test.add([[0, 1]], eos=9)
    assert test.stated(0.0)[0] == 2, "what is rejected is said at once, however few there are"
    assert test.furthest(2) == "[0, 1] has the share 1.0000 instead of 0.0000"
    assert test.furthest(1) == "[0] has the share 1.0000 instead of 0.5000"


def test_the_text_that_is_furthest_off_is_named():
    test = Joint(torch.tensor([0.6, 0.2, 0.1, 0.1], dtype=torch.float64), None, 2, 2, 1e-6)
    test.add([[0, 0], [1, 1]] * 5, eos=9)
    assert test.furthest(2) == "[1, 1] has the share 0.5000 instead of 0.1000"
    assert test.furthest(1) == "[0] has the share 0.5000 instead of 0.8000"


@pytest.mark.parametrize(
    ("texts", "lean"),
    [
        ([[0, 1]], 1.0),
        ([[0, 0]] * 3 + [[1, 1]], 1.0),
        ([[1, 0]] * 3 + [[0, 1]], -1.0),
        ([[0, 0], [1, 1]], 0.0),
    ],
)
def test_a_sample_leans_to_the_draft_or_away_from_it(texts, lean):
    """p is a fair coin; the draft's, .9."""
    p, q = (
        torch.full((4,), 1 / 4, dtype=torch.float64),
        torch.tensor([0.9, 0, 0, 0.1], dtype=torch.float64),
    )
    test = Joint(p, q, 2, 2, 1e-6)
    test.add(texts, eos=9)
    assert test.lean() == pytest.approx(lean)
    drawn = test.picture()
    assert (drawn.expected, drawn.draft) == ((0.5, 0.5), (0.9, 0.1))
    assert sum(drawn.observed) == pytest.approx(1)
    assert drawn.observed[0] == sum(text[0] == 0 for text in texts) / len(texts)
    blind = Joint(p, None, 2, 2, 1e-6)
    assert (blind.lean(), blind.picture().draft) == (0.0, ())
