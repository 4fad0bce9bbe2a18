"""Medusa heads and the MTP module draft; whatever they propose, the text keeps the target's
distribution.

Protects: the tree's shape and order, siblings drawn without replacement and the q they report, the
depth limit, rows that have no state yet, the state that belongs to the pending token, the MTP cache
after acceptance and rejection, auxiliary files.
"""

import itertools
import statistics

import pytest
import torch
from specref.chance import Streams
from specref.data import SamplingParams, SpecrefError
from specref.decode import generate
from specref.draft.base import Text
from specref.draft.medusa import MedusaDrafter, MedusaHeads, best_first, chain
from specref.draft.mtp import MTPDrafter, MTPModule
from specref.draft.none import NoDrafter
from specref.exact.enumerate import distributions, total_variation
from specref.model.auxiliary import load_auxiliary, save_auxiliary, size_in_bytes
from specref.train.auxiliary import load_medusa_heads, load_mtp_module
from specref.train.losses import medusa_loss, mtp_loss
from specref.verify import RULES

from tests.stub import generate_with, greedy_text, own_logits, tiny

TARGET = tiny(seed=5, vocabulary=3)
WIDER = tiny(seed=6, vocabulary=11)


def heads(target, count: int = 2, seed: int = 0) -> MedusaHeads:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = MedusaHeads.of(target, count).double()
        made.block.data.normal_(0, 0.5)
        made.out.data.add_(torch.randn_like(made.out) * 0.3)
    return made.eval().requires_grad_(False)


def module(target, seed: int = 0) -> MTPModule:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MTPModule.of(target).double().eval().requires_grad_(False)


DECODERS = {
    "medusa tree, best guesses": ("tree", lambda t: MedusaDrafter(heads(t), best_first(2, 2))),
    "medusa tree, drawn": (
        "tree",
        lambda t: MedusaDrafter(heads(t), [(0,), (1,), (0, 0)], draws=True),
    ),
    "medusa chain, drawn": ("rejection", lambda t: MedusaDrafter(heads(t), chain(2), draws=True)),
    "medusa chain, block": ("block", lambda t: MedusaDrafter(heads(t), chain(2), draws=True)),
    "mtp": ("rejection", lambda t: MTPDrafter(module(t), t)),
    "mtp, block": ("block", lambda t: MTPDrafter(module(t), t)),
    "mtp that gives up": ("rejection", lambda t: MTPDrafter(module(t), t, sure=0.3)),
    "mtp that gives up, block": ("block", lambda t: MTPDrafter(module(t), t, sure=0.3)),
}


def loop_distribution(drafter, rule: str, params: SamplingParams, gamma: int = 2, watch=None):
    def program(chance, root):
        done = generate_with(
            TARGET,
            drafter,
            RULES[rule],
            [[2, 0, 1]] * len(root),
            params,
            gamma=gamma,
            chance=chance,
            watch=watch,
        )
        return [tuple(one.tokens) for one in done]

    return distributions(program, 1)[0]


@pytest.mark.parametrize(
    "settings", [{}, {"temperature": 0.6, "top_k": 2}, {"repetition_penalty": 1.5}], ids=str
)
@pytest.mark.parametrize("name", DECODERS)
def test_the_joint_distribution_of_three_tokens_over_several_cycles_is_the_targets(name, settings):
    rule, make = DECODERS[name]
    params = SamplingParams(max_new_tokens=3, **settings)
    assert (
        total_variation(
            loop_distribution(make(TARGET), rule, params),
            loop_distribution(NoDrafter(), "rejection", params),
        )
        < 1e-12
    )


@pytest.mark.parametrize("rule", ["rejection", "block"])
def test_giving_up_a_draft_midway_moves_no_distribution(rule):
    """How long a draft becomes depends on the tokens drawn for it; the joint distribution of four
    tokens stays the target's.
    """
    params, lengths = SamplingParams(max_new_tokens=4), set()
    ours = loop_distribution(
        MTPDrafter(module(TARGET), TARGET, sure=0.3),
        rule,
        params,
        3,
        lambda cycle: lengths.update(cycle.draft.lengths.tolist()),
    )
    assert {1, 2, 3} <= lengths
    assert total_variation(ours, loop_distribution(NoDrafter(), "rejection", params)) < 1e-12


def test_a_draft_is_given_up_with_the_token_at_which_it_is_probably_lost():
    prompts = [[1, 2, 3, 4], [5, 0], [0, 9, 8, 7, 1, 1], [3]]
    drafts = []
    generate_with(
        WIDER,
        MTPDrafter(module(WIDER), WIDER, sure=0.3),
        RULES["block"],
        prompts,
        SamplingParams(seed=1, max_new_tokens=24),
        gamma=6,
        watch=lambda cycle: drafts.append(cycle.draft),
    )
    ends = set()
    for draft in drafts:
        for row, length in enumerate(draft.lengths.tolist()):
            chosen = torch.ones(0)
            if length:
                assert draft.q is not None
                chosen = draft.q[row].gather(1, draft.index[row])[:, 0]
            alive = ((1 + chosen) / 2).cumprod(0)
            assert all(value >= 0.3 for value in alive[: max(0, length - 1)])
            ends.add(bool(length) and bool(alive[length - 1] < 0.3))
    assert ends == {False, True}


@pytest.mark.parametrize("name", DECODERS)
def test_greedy_text_is_the_targets_in_a_ragged_batch(name):
    rule, make = DECODERS[name]
    prompts = [[1, 2, 3, 4], [5], [0, 9, 8, 7, 1, 1]]
    params = SamplingParams(temperature=0, max_new_tokens=16)
    done = generate(WIDER, make(WIDER), RULES[rule], prompts, params, gamma=2)
    assert [one.tokens for one in done] == [greedy_text(WIDER, prompt, 16) for prompt in prompts]


@pytest.mark.parametrize("name", DECODERS)
def test_a_rows_text_does_not_depend_on_its_batch(name):
    rule, make = DECODERS[name]
    prompts = [[1, 2, 3, 4], [5], [0, 9, 8, 7, 1, 1]]
    params = [SamplingParams(seed=i, max_new_tokens=6 + 4 * i) for i in range(3)]
    together = generate(WIDER, make(WIDER), RULES[rule], prompts, params, gamma=2)
    alone = [
        generate(WIDER, make(WIDER), RULES[rule], [p], [s], gamma=2)[0]
        for p, s in zip(prompts, params)
    ]
    assert together == alone


def test_an_mtp_module_drafts_from_the_same_states_as_one_that_reads_the_whole_text():
    """After any cycles, its first guess equals that of a fresh module over all of the target's
    states.
    """
    drafter, seen = MTPDrafter(module(WIDER), WIDER), []

    class Spy(MTPDrafter):
        def propose(self, text, budget, chance):
            draft = super().propose(text, budget, chance)
            if draft.q is not None:
                seen.append((list(text.tokens[0]), draft.q[0, 0]))
            return draft

    spy = Spy(drafter.module, WIDER)
    generate(
        WIDER,
        spy,
        RULES["rejection"],
        [[1, 2, 3]],
        SamplingParams(seed=4, max_new_tokens=20),
        gamma=3,
    )
    assert len(seen) > 4
    for text, q in seen:
        rows = torch.tensor([text])
        states = drafter.module(
            WIDER.states(rows[:, :-1]), drafter.module.brought(WIDER.embedding(rows[:, 1:]))
        )
        assert torch.allclose(WIDER.logits(states)[0, -1].softmax(-1), q, atol=1e-10)


@pytest.mark.parametrize("draws", [False, True])
def test_medusa_drafts_from_the_state_that_gave_the_pending_token(draws):
    """In every cycle, of every row of a ragged batch: the heads read the target's state of the last
    token but the pending one, as a forward over the whole text gives it.
    """
    made, seen = heads(WIDER), 0

    class Spy(MedusaDrafter):
        def propose(self, text, budget, chance):
            nonlocal seen
            draft = super().propose(text, budget, chance)
            for row, tokens in enumerate(text.tokens):
                if not int(draft.lengths[row]):
                    continue
                logits = made(WIDER.states(torch.tensor([tokens[:-1]]))[0, -1])  # [K,V]
                best = logits.topk(2).indices  # [K,2]
                if draws:
                    want = logits[0].softmax(-1)
                    assert draft.q is not None
                    assert torch.allclose(draft.q[row, 0], want, atol=1e-10)
                elif int(draft.lengths[row]) == 4:
                    assert draft.tokens[row].tolist() == best.flatten().tolist()
                seen += 1
            return draft

    prompts = [[1, 2, 3, 4], [5, 6], [0, 9, 8, 7, 1, 1]]
    params = [SamplingParams(seed=i, max_new_tokens=12) for i in range(3)]
    spy = Spy(made, best_first(2, 2), draws)
    generate(WIDER, spy, RULES["tree"], prompts, params, gamma=2)
    assert seen > 12


def test_a_module_may_draft_in_another_type_than_its_target():
    narrow, text = (
        tiny(seed=6, vocabulary=11, dtype=torch.float32),
        SamplingParams(temperature=0, max_new_tokens=16),
    )
    done = generate(
        narrow, MTPDrafter(module(WIDER), WIDER), RULES["greedy"], [[1, 2, 3], [5]], text, gamma=3
    )
    assert [one.tokens for one in done] == [
        greedy_text(narrow, prompt, 16) for prompt in ([1, 2, 3], [5])
    ]
    assert sum(one.accepted for one in done) > 0


def test_drawn_siblings_differ_and_their_q_leaves_out_the_earlier_ones():
    drafter = MedusaDrafter(heads(WIDER), best_first(2, 3), draws=True)
    text = Text(
        [[1, 2, 3]] * 4,
        [3] * 4,
        [SamplingParams()] * 4,
        11,
        torch.randn(4, 2, 16, dtype=torch.float64),
        torch.tensor([2, 2, 2, 0]),
    )
    draft = drafter.propose(text, torch.tensor([2, 1, 0, 2]), Streams(range(4)))
    assert draft.lengths.tolist() == [6, 3, 0, 0]
    for row in (0, 1):
        first = draft.tokens[row, :3].tolist()
        assert len(set(first)) == 3
        assert draft.q is not None
        assert [float(draft.q[row, i, first[j]]) > 0 for i in range(3) for j in range(3)] == [
            j >= i for i in range(3) for j in range(3)
        ]


@pytest.mark.parametrize("tree", [[(1,)], [(0, 0)], [(0,), (0, 1)]])
def test_a_tree_without_a_parent_or_an_earlier_sibling_is_refused(tree):
    with pytest.raises(SpecrefError, match="without its parent or an earlier sibling"):
        MedusaDrafter(heads(TARGET), tree)


def test_a_tree_deeper_than_the_heads_is_refused():
    with pytest.raises(SpecrefError, match="deeper than the 2 heads"):
        MedusaDrafter(heads(TARGET), chain(3))


def test_every_head_has_weights_of_its_own():
    made = heads(TARGET)
    assert not torch.equal(made.out[0], made.out[1])
    before = made(torch.ones(1, 16, dtype=torch.float64)).clone()
    made.block.data[1] += 1
    after = made(torch.ones(1, 16, dtype=torch.float64))
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.equal(before[:, 1], after[:, 1])


def test_training_makes_heads_and_module_guess_what_the_target_says():
    """A few steps lower each loss well below where it began: the shifts between states, tokens and
    distributions are right.
    """
    torch.manual_seed(0)
    target = tiny(seed=2, vocabulary=5, dtype=torch.float32, sharp=3.0)
    rows = torch.randint(5, (8, 33))
    for made, loss in (
        (h := MedusaHeads.of(target, 2), medusa_loss(h, target)),
        (m := MTPModule.of(target), mtp_loss(m, target, depth=1)),
    ):
        optimizer = torch.optim.Adam(made.parameters(), 0.02)
        first = float(loss(rows).detach())
        for _ in range(60):
            optimizer.zero_grad()
            loss(rows).backward()
            optimizer.step()
        assert float(loss(rows).detach()) < 0.6 * first


def test_the_loss_of_the_heads_is_the_divergence_from_the_distributions_further_on_by_hand():
    """Head k (from 0) at place i is held to what the target says after token i + k + 1: by then it
    has read the pending token and the k guesses before.
    """
    target, rows = tiny(vocabulary=7), torch.randint(7, (2, 9))
    made = heads(target)
    by_hand: list[list[float]] = [[], []]
    for k, row in itertools.product(range(2), rows[:, :-1].tolist()):
        for i in range(len(row) - k - 1):
            state = target.states(torch.tensor([row[: i + 1]]))[0, -1]
            q = made(state)[k].softmax(-1)
            p = own_logits(target, row[: i + k + 2]).softmax(-1)
            by_hand[k].append(float((p * (p / q).log()).sum()))
    want = statistics.mean(map(statistics.mean, by_hand))
    assert float(medusa_loss(made, target)(rows)) == pytest.approx(want, rel=1e-5)


def test_a_head_that_was_trained_guesses_the_token_its_node_stands_for():
    """The best guess of head k (from 0) after token i is the target's greedy token after token
    i + k + 1, and not the one a place earlier or later. The text is read from the target alone.
    """
    torch.manual_seed(0)
    target = tiny(seed=2, vocabulary=5, dtype=torch.float32, sharp=3.0)
    rows = torch.randint(5, (1, 26))
    made = MedusaHeads.of(target, 2)
    optimizer, loss = torch.optim.Adam(made.parameters(), 0.03), medusa_loss(made, target)
    for _ in range(200):
        optimizer.zero_grad()
        loss(rows).backward()
        optimizer.step()
    text = rows[0].tolist()
    greedy = torch.tensor([int(own_logits(target, text[: i + 1]).argmax()) for i in range(25)])
    guesses = made(target.states(rows[:, :-1]))[0].argmax(-1)  # [C,K]
    for k in range(2):
        agree = [
            float((guesses[:22, k] == greedy[shift : 22 + shift]).float().mean())
            for shift in range(4)
        ]
        assert agree.pop(k + 1) > 0.8
        assert max(agree) < 0.5


def test_a_saved_module_comes_back_as_it_was_saved_and_another_kind_is_refused(tmp_path):
    made = heads(TARGET)
    save_auxiliary(made, tmp_path, "medusa", made.settings, torch.float64)
    back = load_medusa_heads(tmp_path, torch.float32)
    assert torch.allclose(back.out.double(), made.out, atol=1e-6)
    assert size_in_bytes(back) == 4 * sum(p.numel() for p in made.parameters())
    with pytest.raises(SpecrefError, match="specref train mtp"):
        load_mtp_module(tmp_path)
    (tmp_path / "auxiliary.safetensors").write_bytes(b"no tensors")
    with pytest.raises(SpecrefError, match="damaged"):
        load_auxiliary(tmp_path, "medusa", lambda settings: MedusaHeads(**settings))
