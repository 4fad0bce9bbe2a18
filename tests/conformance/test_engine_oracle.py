"""What the engine level stands on: toys, the law of parameters written twice, enumeration, and ranks."""

import itertools
import math
import random

import pytest
import torch

from reference.conformance import orders, params_oracle, ranks, reading, toys
from reference.conformance.contract import Completion
from reference.conformance.joint import Joint, enumerated
from reference.model.checkpoint import load
from reference.probs import history, probs
from reference.types import SamplingParams


def params_of(chooser: random.Random) -> SamplingParams:
    """Any parameters, several at once."""
    def maybe(value, default):
        return value if chooser.random() < 0.4 else default

    return SamplingParams(
        temperature=maybe(chooser.choice([0.0, 0.3, 0.7, 1.8]), 1.0), top_k=maybe(chooser.randint(1, 9), 0),
        top_p=maybe(chooser.uniform(0.2, 0.99), 1.0), min_p=maybe(chooser.uniform(0.01, 0.5), 0.0),
        repetition_penalty=maybe(chooser.uniform(0.7, 1.8), 1.0), presence_penalty=maybe(chooser.uniform(-1, 1), 0.0),
        frequency_penalty=maybe(chooser.uniform(-1, 1), 0.0),
        logit_bias=maybe({chooser.randrange(8): chooser.choice([-math.inf, -100.0, 1.5]), 7: 0.25}, {}),
        min_tokens=maybe(4, 0), stop_ids=(7, 3))


def test_the_law_of_parameters_is_the_same_written_twice():
    chooser, doubtful = random.Random(0), 0
    for _ in range(3000):
        scores = [chooser.gauss(0, 2) for _ in range(8)]
        prompt = [chooser.randrange(8) for _ in range(4)]
        output = [chooser.randrange(8) for _ in range(chooser.randrange(7))]
        params = params_of(chooser)
        row = params_oracle.row(scores, params, prompt, output)
        if row.doubtful:
            doubtful += 1
            continue
        past = history([[*prompt, *output]], [len(prompt)], 8)
        right = probs(torch.tensor([[scores]], dtype=torch.float64), [params], past)[0, 0].tolist()
        assert row.law == pytest.approx(right, abs=1e-12), params
    assert doubtful < 900  # where engines differ in the order of two filters, or of a filter and the temperature


def test_edges_of_filters_are_doubtful():
    scores = [math.log(0.5), math.log(0.3), math.log(0.2)]
    assert params_oracle.row(scores, SamplingParams(top_p=0.5)).doubtful
    assert params_oracle.row(scores, SamplingParams(min_p=0.4)).doubtful
    assert params_oracle.row([1.0, 1.0, 0.0], SamplingParams(top_k=1)).doubtful
    assert params_oracle.row([1.0, 1.0, 0.0], SamplingParams(temperature=0)).doubtful
    assert not params_oracle.row(scores, SamplingParams(top_p=0.7, min_p=0.3, top_k=2)).doubtful


def test_where_orders_of_filters_differ_the_law_is_doubtful():
    """After top-k 2 the likeliest has .625, before it .5; at temperature .5 it has .66."""
    scores = [math.log(0.5), math.log(0.3), math.log(0.2)]
    assert params_oracle.row(scores, SamplingParams(top_p=0.6, top_k=2)).doubtful
    assert params_oracle.row(scores, SamplingParams(top_p=0.6, temperature=0.5)).doubtful
    assert params_oracle.row(scores, SamplingParams(min_p=0.5, temperature=0.5)).doubtful
    for params in (SamplingParams(top_p=0.7, temperature=0.5), SamplingParams(min_p=0.3, temperature=0.9),
                   SamplingParams(top_k=2, temperature=0.5), SamplingParams(top_p=0.7, top_k=2)):
        assert not params_oracle.row(scores, params).doubtful


def test_the_end_of_a_text():
    params = SamplingParams(max_new_tokens=6, min_tokens=3, stop_ids=(1,), stop_sequences=((2, 3),))
    reasons = [params_oracle.ended(text, params, 9) for text in ([1], [0, 2, 3], [0, 0, 1], [2, 3], [0] * 6, [0] * 5)]
    assert reasons == ["", "stop", "stop", "", "length", ""]
    assert params_oracle.ended([0] * 5, params, 5) == "length"


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
        return float(torch.minimum(made.target(text).logits.softmax(-1), made.draft(text).logits.softmax(-1)).sum(-1).mean())

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
            assert float(best.values[0] - best.values[1]) > toys.TIE
            if int(toys.toy("wide").draft(torch.tensor([text])).logits[0, -1].argmax()) != token:
                missed.append(place)
            text.append(token)
        assert tuple(missed) == found.missed


def test_the_joint_law_is_a_product_of_softmax_and_stays_at_the_end():
    made, prompt = toys.toy("small"), (4, 5, 2)
    law = enumerated(made.target, prompt, 2, made.eos).view(8, 8)
    assert float(law.sum()) == pytest.approx(1)
    for first, second in itertools.product(range(8), repeat=2):
        logs = made.target(torch.tensor([[*prompt, first]])).logits[0].log_softmax(-1)
        right = float(logs[2, first]) + float(logs[3, second])
        if first == made.eos:
            right = float(logs[2, first]) if second == made.eos else -math.inf
        assert float(law[first, second]) == pytest.approx(math.exp(right), abs=1e-12)


def test_texts_are_counted_where_they_belong():
    test = Joint(torch.full((64,), 1 / 64), None, 4, 3, 1e-6)
    test.add([[1, 2, 3], [1], [0, 3]], eos=3)
    assert test.tests[0].counts[0].tolist() == [1, 2, 0, 0]
    assert test.tests[2].counts[0].nonzero()[:, 0].tolist() == [15, 16 + 8 + 3, 16 + 15]


SINGLE = (orders.LIKELY, orders.DRAFTED, orders.LOOKED_UP, orders.PLAIN, orders.BEFORE)
WAYS = (*SINGLE, *orders.NEIGHBOURS, *orders.BESIDE, *orders.ASKEW, *orders.AHEAD)


def test_ranks_of_the_target_s_own_texts_are_uniform_whatever_the_order():
    """Every text of two tokens, weighted by its probability; shares of the uniform inside a token by quadrature."""
    made = toys.toy("small")
    prompt, params = toys.written("small", 48)[0].prompt, SamplingParams(max_new_tokens=2, stop_ids=(made.eos,))
    law = enumerated(made.target, prompt, 2, made.eos)
    grid, texts, weights = 200, [], []
    for cell in law.nonzero()[:, 0].tolist():
        text = [cell // 8, cell % 8] if cell // 8 != made.eos else [made.eos]
        texts.append(text)
        weights.append(float(law[cell]))
    for way in (*SINGLE, orders.NEIGHBOURS[1]):  # pairs have but two orders, by p and by id
        total = torch.zeros(ranks.BINS, dtype=torch.float64)
        tables = list(reading.laws(made, [(prompt, params)] * len(texts), texts))
        keys = way.keys(made, [(prompt, params)] * len(texts), texts, tables)
        for text, weight, table, key in zip(texts, weights, tables, keys, strict=True):
            for place, token in enumerate(text):
                ahead = float(table.law[place][(key[place] > key[place, token]) | (
                    (key[place] == key[place, token]) & (torch.arange(8) < token))].sum())
                u = ahead + float(table.law[place, token]) * (torch.arange(grid) + 0.5) / grid
                total += weight / grid * torch.bincount((u * ranks.BINS).long(), minlength=ranks.BINS)
        assert torch.allclose(total / total.sum(), torch.full_like(total, 1 / ranks.BINS), atol=2e-3), way.name


def test_pairs_of_ranks_stand_side_by_side():
    assert [way.groups for way in orders.NEIGHBOURS] == 2 * [orders._next_token] + 2 * [orders._whole]
    assert {way.groups for way in orders.BESIDE} == {orders._next_row}
    first, second = orders._next_token([3, 4, 2, 1, 2, 3]).T
    assert first.tolist() == [0, 2, 4, 6, 7, 10, 13], "of every other text from the second token on"
    assert second.tolist() == [1, -1, 5, -1, 8, 11, 14]
    first, second = orders._next_row([3, 1, 2, 4, 5]).T
    assert first.tolist() == [0, 1, 2, 4, 5]
    assert second.tolist() == [3, -1, -1, 6, 7]
    assert orders.ASKEW[0].groups is not None
    first, second = orders.ASKEW[0].groups([3, 1, 1, 4, 5]).T
    assert first.tolist() == [1, 2], "the second token of a text, with the first one of the next"
    assert second.tolist() == [3, -1]
    for later, seconds in zip((1, 2, 3, 4), ([1, 5], [2, 6], [-1, 7], [-1, -1]), strict=True):
        groups = orders.AHEAD[2 * later - 1].groups
        assert groups is not None
        first, second = groups([3, 1, 4, 2, 5]).T
        assert first.tolist() == [3, 8], "the first tokens of the second text and of the fourth"
        assert second.tolist() == seconds


def test_a_whole_text_is_a_group_of_its_first_tokens():
    groups = orders._whole([2, 0, 60])
    assert groups.shape == (2, orders.WHOLE), "an empty text has no first token"
    assert groups[0].tolist() == [0, 1] + 46 * [-1]
    assert groups[1].tolist() == list(range(2, 50))


@pytest.mark.parametrize("many", [2, 3, 48])
def test_independent_ranks_fall_into_all_cells_alike_and_dependent_ones_do_not(many):
    """The cells' shares within 4 standard deviations, 16 cells: a false alarm in a thousand; the seed is fixed."""
    ranks_of = torch.rand(160_000, many, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    cells = torch.bincount(ranks.together(ranks_of), minlength=ranks.BINS)
    assert (cells - 10_000).abs().max() < 4 * 100
    for other in (ranks_of[:, :1].expand(-1, many), torch.cat((ranks_of[:, :1], 1 - ranks_of[:, :1]), 1)):
        cells = torch.bincount(ranks.together(other), minlength=ranks.BINS)
        assert (cells - 10_000).abs().max() > 20_000


def sampled(rows, texts=None):
    """Texts of 6 tokens drawn from the target itself, without an engine."""
    made, generator = toys.toy("small"), torch.Generator().manual_seed(5)
    out = [[] for _ in rows]
    for _ in range(6):
        going = [i for i, text in enumerate(out) if not text or text[-1] != made.eos]
        whole = [[*rows[i][0], *out[i]] for i in going]
        laws = toys.scores(made.target, whole, list(map(len, whole)))
        for i, token in zip(going, torch.multinomial(torch.stack([row[0] for row in laws]).softmax(-1), 1,
                                                     generator=generator)[:, 0].tolist(), strict=True):
            out[i].append(token)
    return [Completion(text, "stop" if text[-1] == made.eos else "length") for text in out]


def test_ranks_say_nothing_of_right_texts_and_see_what_is_wrong():
    made = toys.toy("small")
    prompts = [found.prompt for found in toys.written("small", 48)[:2]]
    rows = [(prompts[i % 2], SamplingParams(max_new_tokens=6, stop_ids=(made.eos,))) for i in range(1500)]
    right = ranks.Ranks(WAYS, 1e-6, torch.Generator().manual_seed(1))
    done = sampled(rows)
    assert right.read(made, rows, done) is None
    # A false alarm of e^-9 for each of eight, and for each of three kinds of token in five of them.
    assert max(test.largest for test in (*right.tests.values(), *right.parts.values())) < 9
    assert {right._named(kind) for _, kind in right.parts} == {"first tokens", "last tokens before max_new_tokens",
                                                               "tokens 2 to 32"}
    twice = ranks.Ranks(orders.BESIDE, 1e-6, torch.Generator().manual_seed(1))
    same = [rows[2 * (i // 2)] for i in range(len(rows))]
    assert twice.read(made, same, [done[2 * (i // 2)] for i in range(len(rows))]) is None
    assert twice.worst().rejected
    hot = ranks.Ranks((orders.LIKELY,), 1e-6, torch.Generator().manual_seed(1))
    cooler = [(prompt, SamplingParams(temperature=0.7, max_new_tokens=6, stop_ids=(made.eos,))) for prompt, _ in rows]
    hot.read(made, cooler, done)
    assert hot.worst().rejected
    assert hot.worst().cause == orders.LIKELY.behind


def test_a_fault_of_first_tokens_alone_is_found_among_them_and_called_theirs() -> None:
    """One token of six is off, under one setting of two: among all others it is too little to show."""
    made = toys.toy("small")
    prompts = [found.prompt for found in toys.written("small", 48)[:2]]
    plain = SamplingParams(max_new_tokens=6, stop_ids=(made.eos,))
    rows = [(prompts[i % 2], plain) for i in range(600)]
    done = sampled(rows)
    first = [(prompt, SamplingParams(temperature=0.5, max_new_tokens=1, stop_ids=(made.eos,))) for prompt, _ in rows]
    off = [Completion(one.tokens[:1], "stop" if one.tokens[0] == made.eos else "length") for one in done]
    test = ranks.Ranks((orders.LIKELY,), 1e-6, torch.Generator().manual_seed(1))
    for _ in range(4):
        assert test.read(made, rows, done) is None
    test.read(made, first[:300], off[:300])
    worst = test.worst()
    assert worst.rejected
    assert not test.tests[orders.LIKELY].rejected
    assert str(worst) == f"first tokens at temperature 0.5: {orders.LIKELY.behind} (ranks by p)"
