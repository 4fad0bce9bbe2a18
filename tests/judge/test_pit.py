"""Ranks of tokens: uniform and independent for right texts in every order, and what they say of
wrong ones.
"""

import pytest
import torch
from specref.data import SamplingParams
from specref.judge import expected as reading
from specref.judge import ordering as orders
from specref.judge import pit as ranks
from specref.judge import toys
from specref.judge.contract import Completion
from specref.judge.joint import enumerated

SINGLE = (orders.LIKELY, orders.DRAFTED, orders.LOOKED_UP, orders.PLAIN, orders.BEFORE)
WAYS = (*SINGLE, *orders.NEIGHBOURS, *orders.BESIDE, *orders.ASKEW, *orders.AHEAD)


def test_ranks_of_the_target_s_own_texts_are_uniform_whatever_the_order():
    """Every text of two tokens, weighted by its probability; shares of the uniform inside a token
    by quadrature.
    """
    made = toys.toy("small")
    prompt, params = (
        toys.written("small", 48)[0].prompt,
        SamplingParams(max_new_tokens=2, stop_ids=(made.eos,)),
    )
    distribution = enumerated(made.target, prompt, 2, made.eos)
    grid, texts, weights = 200, [], []
    for cell in distribution.nonzero()[:, 0].tolist():
        text = [cell // 8, cell % 8] if cell // 8 != made.eos else [made.eos]
        texts.append(text)
        weights.append(float(distribution[cell]))
    for way in (*SINGLE, orders.NEIGHBOURS[1]):  # pairs have but two orders, by p and by id
        total = torch.zeros(ranks.BINS, dtype=torch.float64)
        tables = list(reading.expected_distributions(made, [(prompt, params)] * len(texts), texts))
        keys = way.keys(made, [(prompt, params)] * len(texts), texts, tables)
        for text, weight, table, key in zip(texts, weights, tables, keys, strict=True):
            for place, token in enumerate(text):
                ahead = float(
                    table.distribution[place][
                        (key[place] > key[place, token])
                        | ((key[place] == key[place, token]) & (torch.arange(8) < token))
                    ].sum()
                )
                u = (
                    ahead
                    + float(table.distribution[place, token]) * (torch.arange(grid) + 0.5) / grid
                )
                total += (
                    weight / grid * torch.bincount((u * ranks.BINS).long(), minlength=ranks.BINS)
                )
        assert torch.allclose(
            total / total.sum(), torch.full_like(total, 1 / ranks.BINS), atol=2e-3
        ), way.name


def test_what_each_order_puts_in_front():
    made, text = toys.toy("small"), [2, 3, 3]
    rows = [((2, 1, 2, 1), SamplingParams(temperature=0.5))]
    (table,) = reading.expected_distributions(made, rows, [text])

    def keys(way):
        (one,) = way.keys(made, rows, [text], [table])
        return one

    assert torch.equal(keys(orders.LIKELY), table.distribution)
    assert keys(orders.NEIGHBOURS[1])[3].tolist() == [0, -1, -2, -3, -4, -5, -6, -7]
    copied = torch.zeros(4, 8, dtype=torch.float64)
    # behind 1 came 2; behind 2 came 1; behind the first 3 nothing yet, and then 3
    copied[[0, 1, 3], [2, 1, 3]] = 1
    assert torch.equal(keys(orders.LOOKED_UP), table.distribution + copied)
    assert torch.allclose(
        keys(orders.PLAIN), table.scores.softmax(-1) - table.distribution, atol=1e-15
    )
    (draft,) = toys.scores(made.draft, [[2, 1, 2, 1, *text]], [4])
    assert torch.equal(keys(orders.DRAFTED), draft - table.scores)
    assert torch.equal(keys(orders.BEFORE)[2], table.scores[1] - table.scores[2])
    assert torch.equal(keys(orders.BEFORE)[0], table.distribution[0]), (
        "nothing stands before the first"
    )


def test_pairs_of_ranks_stand_side_by_side():
    assert [way.groups for way in orders.NEIGHBOURS] == 2 * [orders._next_token] + 2 * [
        orders._whole
    ]
    assert [way.beside for way in (*orders.NEIGHBOURS, *orders.BESIDE)] == [
        False,
        False,
        True,
        True,
        False,
        False,
    ]
    assert {way.groups for way in orders.BESIDE} == {orders._next_row}
    assert not any(way.beside for way in SINGLE)
    assert [way.name for way in orders.AHEAD[::2]] == [
        f"of a first token and token {token} of the row before" for token in (2, 3, 4, 5)
    ]
    first, second = orders._next_token([3, 4, 2, 1, 2, 3]).T
    assert first.tolist() == [0, 2, 4, 6, 7, 10, 13], "of every other text from the second token on"
    assert second.tolist() == [1, -1, 5, -1, 8, 11, 14]
    first, second = orders._next_row([3, 1, 2, 4, 1, 2, 5]).T
    assert first.tolist() == [0, 1, 2, 4, 5, 10]
    assert second.tolist() == [3, -1, -1, 6, 7, 11]
    assert orders.ASKEW[0].groups is not None
    first, second = orders.ASKEW[0].groups([3, 1, 1, 4, 2, 1, 5]).T
    assert first.tolist() == [
        1,
        2,
        10,
    ], "the second token of a text, with the first one of the next"
    assert second.tolist() == [3, -1, 11]
    for later, seconds in zip(
        (1, 2, 3, 4), ([1, 5, 11, -1], [2, 6, -1, -1], [-1, 7, -1, -1], [-1] * 4), strict=True
    ):
        groups = orders.AHEAD[2 * later - 1].groups
        assert groups is not None
        first, second = groups([3, 1, 4, 2, 2, 1, 0, 3, 2, 0, 1, 1, 5]).T
        assert first.tolist() == [
            3,
            8,
            12,
            19,
        ], "the first tokens of texts 2, 4, 6 and 12; an empty text has no pair"
        assert second.tolist() == seconds


def test_a_whole_text_is_a_group_of_its_first_tokens():
    groups = orders._whole([2, 0, 60])
    assert groups.shape == (2, orders.WHOLE), "an empty text has no first token"
    assert groups[0].tolist() == [0, 1] + 46 * [-1]
    assert groups[1].tolist() == list(range(2, 50))


@pytest.mark.parametrize("many", [2, 3, 48])
def test_independent_ranks_fall_into_all_cells_alike_and_dependent_ones_do_not(many):
    """The cells' shares within 4 standard deviations, 16 cells: a false alarm in a thousand; the
    seed is fixed.
    """
    ranks_of = torch.rand(
        160_000, many, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )
    cells = torch.bincount(ranks.together(ranks_of), minlength=ranks.BINS)
    assert (cells - 10_000).abs().max() < 4 * 100
    for other in (
        ranks_of[:, :1].expand(-1, many),
        torch.cat((ranks_of[:, :1], 1 - ranks_of[:, :1]), 1),
    ):
        cells = torch.bincount(ranks.together(other), minlength=ranks.BINS)
        assert (cells - 10_000).abs().max() > 20_000


def test_ranks_of_0_and_of_1_fall_into_a_cell_too():
    """Rounding may bring them. Half of them 0 and half of them 1 are as far in front as behind."""
    assert ranks.together(torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)).tolist() == [
        0,
        15,
    ]
    ends = torch.tensor([[0.0] * 48, [1.0] * 48, [0.0, 1.0] * 24], dtype=torch.float64)
    front, behind, middle = ranks.together(ends).tolist()
    assert (front, behind) == (0, 15)
    assert middle in (7, 8)


def test_all_samples_together_share_the_false_alarms():
    """Half of a direction's rate is for the sample of all tokens, half for its parts, however many
    settings may come.
    """
    test = ranks.PITTest(
        (orders.LIKELY, orders.BEFORE, orders.NEIGHBOURS[0]), 6e-6, torch.Generator()
    )
    assert [one.alpha for one in test.tests.values()] == pytest.approx([1e-6, 1e-6, 2e-6])
    parts = [test._share(kind) for kind in range(4 * 3000)]
    assert parts[:5] == pytest.approx([1e-6 / 8] * 4 + [1e-6 / 24])
    assert 0.999e-6 < sum(parts) < 1e-6


def test_a_token_is_counted_by_its_place_and_its_setting():
    test, made = ranks.PITTest((orders.LIKELY,), 1e-6, torch.Generator()), toys.toy("small")
    plain, cold = (
        SamplingParams(max_new_tokens=40, seed=3),
        SamplingParams(max_new_tokens=1, temperature=0.5, top_k=3),
    )
    kinds = test._kinds(
        made, [((0,), plain), ((0,), cold), ((0,), plain)], [[0] * 40, [0], [0, 0]]
    ).tolist()
    assert kinds == [0] + [3] * 31 + [2] * 7 + [1] + [4] + [0, 3]
    assert test.settings == [("small", ""), ("small", "temperature 0.5, top_k 3")]
    assert test._named(1) == "last tokens before max_new_tokens"
    assert test._named(4) == "first tokens at temperature 0.5, top_k 3"
    test._kinds(toys.toy("wide"), [((0,), plain)], [[0]])
    assert test._named(2) == "tokens behind the 32nd on toy small"
    assert test._named(11) == "tokens 2 to 32 on toy wide"


def test_the_worst_sample_is_what_is_rejected_single_tokens_first_else_the_largest_with_an_mde():
    made = ranks.PITTest((orders.LIKELY, *orders.NEIGHBOURS), 1e-6, torch.Generator())
    pairs, whole = made.tests[orders.NEIGHBOURS[0]], made.tests[orders.NEIGHBOURS[2]]
    uneven = torch.tensor([5.0] + [1.0] * 15)
    for number, one in enumerate((made.tests[orders.LIKELY], pairs, whole), 1):
        one.update((1 + number / 2) * uneven)
    assert not whole.rejected
    assert whole.largest > pairs.largest > made.tests[orders.LIKELY].largest
    assert made.worst().way is orders.NEIGHBOURS[0], "whole texts are too few to state the MDE"
    whole.update(50 * uneven)
    assert made.worst().way is orders.NEIGHBOURS[2], "but they convict"
    made.tests[orders.LIKELY].update(20 * uneven)
    assert made.worst().way is orders.LIKELY, (
        "a wrong distribution shows in groups too: they come after it"
    )


def test_evidence_says_to_which_side_the_ranks_lean():
    front, behind = orders.LIKELY.front, orders.LIKELY.behind
    for counts, cause in (
        ([3.0] + [1.0] * 15, front),
        ([1.0] * 15 + [3.0], behind),
        ([0.0] * 7 + [0.5] + [0.0] * 8, front),
        ([1.0] * 7 + [4.0] + [1.0] * 7 + [2.0], behind),
        ([1.0] + [0.0] * 15, front),
    ):
        test = ranks._sample(1e-6)
        test.update(torch.tensor(counts))
        one = ranks.Evidence(orders.LIKELY, test, "first tokens")
        assert one.cause == f"first tokens: {cause}"
        assert ranks.Evidence(orders.LIKELY, test).cause == cause
        assert one.picture().observed == pytest.approx(
            tuple(count / max(sum(counts), 1) for count in counts)
        )
        assert one.picture().expected == (1 / 16,) * 16
        assert one.picture().outcomes[1] == "1/16"


def test_places_that_are_doubtful_or_leave_no_choice_are_left_out():
    """Of the first text token 1 counts, of the second both; behind each text stands one
    distribution more.
    """
    sure, open_ = [1.0, 0.0], [0.5, 0.5]
    tables = [
        reading.Distributions(
            torch.zeros(len(distribution), 2),
            torch.tensor(distribution, dtype=torch.float64),
            torch.tensor(doubtful),
        )
        for distribution, doubtful in (
            ([open_, open_, sure, open_, open_], [False, True, False, True, False]),
            ([open_, open_, open_], [False, False, False]),
        )
    ]
    test = ranks.PITTest(
        (orders.LIKELY, orders.NEIGHBOURS[1]), 1e-6, torch.Generator().manual_seed(1)
    )
    rows = [((0,), SamplingParams(max_new_tokens=4)), ((0,), SamplingParams(max_new_tokens=4))]
    test.add(toys.toy("small"), rows, [[0, 1, 0, 1], [1, 0]], tables)
    assert test.tests[orders.LIKELY].n == 3
    assert test.tests[orders.NEIGHBOURS[1]].n == 2, (
        "token 3 of the first text leaves no choice: it begins no pair"
    )
    assert {kind: part.n for (_, kind), part in test.parts.items()} == {0: 2, 3: 1}


def test_a_pair_is_of_the_two_tokens_ranks_and_of_nothing_else():
    """By id the first token's rank is below a half and the second's above, whatever its uniform
    share is.
    """
    distributions = torch.full((3, 2), 0.5, dtype=torch.float64)
    test = ranks.PITTest((orders.NEIGHBOURS[1],), 1e-6, torch.Generator().manual_seed(1))
    for _ in range(40):
        test.add(
            toys.toy("small"),
            [((0,), SamplingParams(max_new_tokens=2))],
            [[0, 1]],
            [
                reading.Distributions(
                    torch.zeros(3, 2), distributions, torch.zeros(3, dtype=torch.bool)
                )
            ],
        )
    (pairs,) = test.tests.values()
    assert pairs.counts[0, [2, 3, 6, 7]].sum() == pairs.n == 40


def test_a_wrong_text_is_returned_and_not_counted_and_an_empty_one_skips_nothing():
    made, params = toys.toy("small"), SamplingParams(max_new_tokens=2, top_k=1)
    prompt = toys.written("small", 48)[0].prompt
    test = ranks.PITTest((orders.LIKELY,), 1e-6, torch.Generator().manual_seed(1))
    likeliest = int(made.target(torch.tensor([list(prompt)])).logits[0, -1].argmax())
    fault = test.read(made, [(prompt, params)], [Completion([(likeliest + 1) % 8, 0], "length")])
    assert fault is not None
    assert test.tests[orders.LIKELY].n == 0
    ends = SamplingParams(max_new_tokens=1, stop_ids=(made.eos,))
    rows = [(prompt, ends), (prompt, ends)]
    test.add(made, rows, [[0], []], list(reading.expected_distributions(made, rows, [[0], []])))
    assert test.tests[orders.LIKELY].n == 1


def sampled(rows, texts=None):
    """Texts of 6 tokens drawn from the target itself, without an engine."""
    made, generator = toys.toy("small"), torch.Generator().manual_seed(5)
    out: list[list[int]] = [[] for _ in rows]
    for _ in range(6):
        going = [i for i, text in enumerate(out) if not text or text[-1] != made.eos]
        whole = [[*rows[i][0], *out[i]] for i in going]
        distributions = toys.scores(made.target, whole, list(map(len, whole)))
        for i, token in zip(
            going,
            torch.multinomial(
                torch.stack([row[0] for row in distributions]).softmax(-1), 1, generator=generator
            )[:, 0].tolist(),
            strict=True,
        ):
            out[i].append(token)
    return [Completion(text, "stop" if text[-1] == made.eos else "length") for text in out]


def test_ranks_say_nothing_of_right_texts_and_see_what_is_wrong():
    made = toys.toy("small")
    prompts = [found.prompt for found in toys.written("small", 48)[:2]]
    rows = [
        (prompts[i % 2], SamplingParams(max_new_tokens=6, stop_ids=(made.eos,)))
        for i in range(1500)
    ]
    right = ranks.PITTest(WAYS, 1e-6, torch.Generator().manual_seed(1))
    done = sampled(rows)
    assert right.read(made, rows, done) is None
    # A false alarm of e^-9 for each of eight, and for each of three kinds of token in five of them.
    assert max(test.largest for test in (*right.tests.values(), *right.parts.values())) < 9
    assert {right._named(kind) for _, kind in right.parts} == {
        "first tokens",
        "last tokens before max_new_tokens",
        "tokens 2 to 32",
    }
    twice = ranks.PITTest(orders.BESIDE, 1e-6, torch.Generator().manual_seed(1))
    same = [rows[2 * (i // 2)] for i in range(len(rows))]
    assert twice.read(made, same, [done[2 * (i // 2)] for i in range(len(rows))]) is None
    assert twice.worst().rejected
    hot = ranks.PITTest((orders.LIKELY,), 1e-6, torch.Generator().manual_seed(1))
    cooler = [
        (prompt, SamplingParams(temperature=0.7, max_new_tokens=6, stop_ids=(made.eos,)))
        for prompt, _ in rows
    ]
    hot.read(made, cooler, done)
    assert hot.worst().rejected
    assert hot.worst().cause == orders.LIKELY.behind


def test_a_fault_of_first_tokens_alone_is_found_among_them_and_called_theirs() -> None:
    """One token of six is off, under one setting of two: among all others it is too little to
    show.
    """
    made = toys.toy("small")
    prompts = [found.prompt for found in toys.written("small", 48)[:2]]
    plain = SamplingParams(max_new_tokens=6, stop_ids=(made.eos,))
    rows = [(prompts[i % 2], plain) for i in range(600)]
    done = sampled(rows)
    first = [
        (prompt, SamplingParams(temperature=0.5, max_new_tokens=1, stop_ids=(made.eos,)))
        for prompt, _ in rows
    ]
    off = [
        Completion(one.tokens[:1], "stop" if one.tokens[0] == made.eos else "length")
        for one in done
    ]
    test = ranks.PITTest((orders.LIKELY,), 1e-6, torch.Generator().manual_seed(1))
    for _ in range(4):
        assert test.read(made, rows, done) is None
    test.read(made, first[:300], off[:300])
    worst = test.worst()
    assert worst.rejected
    assert not test.tests[orders.LIKELY].rejected
    assert str(worst) == f"first tokens at temperature 0.5: {orders.LIKELY.behind} (ranks by p)"
