"""The test by betting on what engines write: what is fed, what a conviction says, and what a PASS
claims.
"""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from specref.adapters.reference import Looped
from specref.data import SamplingParams
from specref.judge.betting.calls import BET_WORLDS, RECURRING, CallPlan, Planned
from specref.judge.betting.surroundings import Surroundings, setting_words
from specref.judge.betting.telling import cause, picture, told
from specref.judge.betting.text_bet import Answered, TextBet, drafted, looked_up
from specref.judge.contract import CAPABILITIES, Completion
from specref.judge.expected import expected_distributions
from specref.judge.report.words import reach, sentence
from specref.judge.schedule import judge
from specref.judge.session import Session
from specref.judge.suite import checks
from specref.judge.toys import scores, toy, written
from specref.judge.verdict import Reach, Report, Verdict
from torch import Tensor

(CHECK,) = (item for item in checks("engine") if item.id == "engine.token-bets")
NAME, ROWS, LENGTH = "small", 64, 32
SAMPLED = SamplingParams(max_new_tokens=LENGTH)
ALPHA = 1e-6


def drawn(
    prompts: list[tuple[int, ...]], fault: float, seed: int, length: int = LENGTH
) -> list[list[int]]:
    """Texts [R][length] of toy small, by softmax of its logits at temperature 1 - fault."""
    g = torch.Generator().manual_seed(seed)
    texts: list[list[int]] = [[] for _ in prompts]
    for _ in range(length):
        whole = [[*prompt, *text] for prompt, text in zip(prompts, texts, strict=True)]
        last = torch.stack([one[-1] for one in scores(toy(NAME).target, whole, [1] * len(whole))])
        tokens = torch.multinomial((last / (1 - fault)).softmax(-1), 1, generator=g)[:, 0]
        for text, token in zip(texts, tokens.tolist(), strict=True):
            text.append(token)
    return texts


def fed(bet: TextBet, texts: list[list[int]], params: list[SamplingParams]) -> None:
    prompt = written(NAME, 48)[0].prompt
    rows = [(prompt, one) for one in params]
    answers = [Completion(text, "length") for text in texts]
    assert bet.read(toy(NAME), rows, answers) is None


def bet_on(fault: float, calls: int = 4) -> TextBet:
    bet = TextBet((NAME,), ALPHA)
    prompt = written(NAME, 48)[0].prompt
    for number in range(calls):
        seeds = [replace(SAMPLED, seed=number * ROWS + row) for row in range(ROWS)]
        fed(bet, drawn([prompt] * ROWS, fault, number), seeds)
    bet.bettor.look()
    return bet


def test_a_wrong_temperature_is_told_with_its_tokens() -> None:
    bet = bet_on(fault=0.3)
    assert bet.bettor.rejected
    winner = bet.bettor.winners()[0]
    assert "token" in told(bet, winner)
    drawing = picture(bet, winner)
    assert drawing is not None
    assert len(drawing.expected) == len(drawing.observed) == len(drawing.outcomes)
    assert any(abs(a - b) > 0.02 for a, b in zip(drawing.expected, drawing.observed, strict=True))


def test_the_right_temperature_is_not_convicted() -> None:
    bet = bet_on(fault=0.0)
    assert not bet.bettor.rejected
    assert bet.bettor.n == 4 * ROWS * LENGTH
    assert bet.longest == LENGTH


def test_a_request_with_the_same_seed_is_fed_once() -> None:
    bet, prompt = TextBet((NAME,), ALPHA), written(NAME, 48)[0].prompt
    texts = drawn([prompt] * 4, 0.0, 1)
    fed(bet, texts, [replace(SAMPLED, seed=seed) for seed in (7, 8, 7, 9)])
    assert bet.bettor.n == 3 * LENGTH
    fed(bet, texts[:2], [replace(SAMPLED, seed=seed) for seed in (9, 10)])
    assert bet.bettor.n == 4 * LENGTH


def test_without_seeds_every_request_is_fed() -> None:
    bet, prompt = TextBet((NAME,), ALPHA), written(NAME, 48)[0].prompt
    fed(bet, drawn([prompt] * 4, 0.0, 1), [SAMPLED] * 4)
    assert bet.bettor.n == 4 * LENGTH


@pytest.mark.parametrize("own", [{"temperature": 0.0}, {"presence_penalty": 0.5}])
def test_greedy_rows_and_what_engines_count_differently_are_left_out(own: dict[str, float]) -> None:
    bet, found = TextBet((NAME,), ALPHA), written(NAME, 48)[0]
    params = replace(SAMPLED, **own)  # type: ignore[arg-type]
    text = list(found.text[:LENGTH])
    bet.read(toy(NAME), [(found.prompt, params)], [Completion(text, "length")])
    assert bet.bettor.n == 0


def test_an_impossible_token_is_a_fault_of_its_own() -> None:
    bet, prompt = TextBet((NAME,), ALPHA), written(NAME, 48)[0].prompt
    banned = replace(SAMPLED, max_new_tokens=1, top_k=1)
    likeliest = int(scores(toy(NAME).target, [prompt], [len(prompt)])[0][-1].argmax())
    done = Completion([(likeliest + 1) % 7], "length")
    assert bet.read(toy(NAME), [(prompt, banned)], [done]) is not None


def test_rows_that_are_copies_depend_on_each_other() -> None:
    """Without seeds, the second of two rows is a copy of the first."""
    bet, prompt = TextBet((NAME,), ALPHA), written(NAME, 48)[0].prompt
    for number in range(4):
        texts = drawn([prompt] * (ROWS // 2), 0.0, number)
        fed(bet, [text for text in texts for _ in range(2)], [SAMPLED] * ROWS)
    bet.bettor.look()
    winners = bet.bettor.winners()
    assert winners[0].convicts
    assert winners[0].kind == "lag"
    assert "different requests depend on each other" in told(bet, winners[0])
    assert "1 row later of the same call go together" in told(bet, winners[0])
    assert cause(bet, winners).startswith("random numbers are used again")


def test_a_fault_of_first_tokens_in_one_setting_is_called_theirs() -> None:
    """One token of 32 is off, under one setting of two: among all others it is too little."""
    bet, prompt = TextBet((NAME,), ALPHA), written(NAME, 48)[0].prompt
    first = replace(SAMPLED, temperature=0.5, max_new_tokens=1)
    for number in range(8):
        texts = drawn([prompt] * ROWS, 0.0, number)
        fed(bet, texts, [SAMPLED] * ROWS)
        if number < 4:
            fed(bet, [text[:1] for text in texts], [first] * ROWS)
    bet.bettor.look()
    assert bet.bettor.rejected
    winners = bet.bettor.winners()
    assert "with temperature 0.5" in told(bet, winners[0])
    everywhere = bet.bettor.tables["rank", "everywhere"].log_wealth().max()
    assert everywhere < 0.6 * winners[0].log_wealth


def test_a_lookup_is_certain_of_what_followed_and_knows_nothing_of_what_is_new() -> None:
    prompt, text = (2, 1, 2), [1, 3, 3]
    made = toy(NAME)
    tables = list(expected_distributions(made, [(prompt, SAMPLED)], [text]))
    call = Answered(made, [(prompt, SAMPLED)], [text], tables, lookup=True)
    assert call.world == "small without a draft model"
    (draft,) = looked_up(call)
    assert draft[0].tolist() == [0, 1, 0, 0, 0, 0, 0, 0], "1 followed 2"
    assert draft[1].tolist() == [0, 0, 1, 0, 0, 0, 0, 0], "2 followed 1"
    assert torch.equal(draft[2], tables[0].distribution[2]), "nothing followed 3"
    assert draft[3].tolist() == [0, 0, 0, 1, 0, 0, 0, 0], "3 followed 3"


def test_the_draft_has_the_parameters_of_the_row_and_reaches_no_further_than_the_target() -> None:
    made, prompt = toy(NAME), written(NAME, 48)[0].prompt
    rows = [(prompt, replace(SAMPLED, top_k=2, temperature=0.5)), (prompt, SAMPLED)]
    tables = list(expected_distributions(made, rows, [[1], [1]]))
    filtered, plain = drafted(Answered(made, rows, [[1], [1]], tables))
    logits = scores(made.draft, [prompt], [len(prompt)])[0]
    assert torch.allclose(plain[0], logits[-1].softmax(-1))
    assert torch.equal(filtered > 0, tables[0].distribution > 0)
    ratio = filtered[0][filtered[0] > 0]
    kept = (logits[-1] / 0.5).softmax(-1)[filtered[0] > 0]
    assert torch.allclose(ratio, kept / kept.sum())


def test_doubtful_places_are_left_out() -> None:
    bet, prompt = TextBet((NAME,), ALPHA), written(NAME, 48)[0].prompt
    rows, texts = [(prompt, SAMPLED)], drawn([prompt], 0.0, 1, 3)
    (table,) = expected_distributions(toy(NAME), rows, texts)
    doubtful = torch.tensor([False, True, False, False])
    bet.add(Answered(toy(NAME), rows, texts, [replace(table, doubtful=doubtful)]))
    assert bet.bettor.n == 2
    place = bet.bettor.tables["token", "place group"].expected.sum(1)
    assert place[:3].tolist() == pytest.approx([1, 0, 1])


def test_the_parts_of_a_large_call_are_fed_one_after_another() -> None:
    bet, prompt = TextBet((NAME,), ALPHA, 2), written(NAME, 48)[0].prompt
    fed(bet, drawn([prompt] * 100, 0.0, 1, 3), [replace(SAMPLED, max_new_tokens=3)] * 100)
    assert bet.bettor.n == 200, "two places of each text"
    assert bet.bettor.lags is not None
    assert bet.bettor.lags.call == 2


def test_places_are_told_in_words() -> None:
    around = Surroundings(("small", "wide"), 192)
    assert around.setting(SAMPLED) == 0
    assert around.setting(replace(SAMPLED, temperature=0.5, seed=3)) == 1
    assert around.where("setting", 1) == "with temperature 0.5"
    assert around.where("setting", 0) == "without parameters"
    assert around.where("toy and setting", around.pair(1, 1)) == "on toy wide with temperature 0.5"
    assert around.where("place group", 5) == "at places 16 to 31"
    assert around.where("place group", 8) == "from place 128 on"
    assert around.where("edge", 1) == "in the last row of a batch"
    assert around.where("edge", 4) == "2 rows from the first row of a batch"
    assert around.where("batch size", 0) == "in batches of one row"
    assert around.where("batch size", 4) == "in batches of 64 rows and more"
    assert around.where("end", 0) == "at the last place of a text"
    assert setting_words(SamplingParams(top_k=3, top_p=0.5)) == "top_k 3, top_p 0.5"


def test_a_context_says_where_its_token_stands() -> None:
    """The groups of the second row's third token, and their words."""
    around = Surroundings(("small", "wide"), 192)
    rows = [((1, 2, 3), SAMPLED), ((4, 5), replace(SAMPLED, max_new_tokens=4))]
    tokens = torch.tensor([[6, 7, 8], [9, 10, 11]])
    groups = around.contexts(1, rows, tokens)
    words = {name: around.where(name, int(group[1, 2])) for name, group in groups.items()}
    assert words["toy"] == "on toy wide"
    assert words["previous token and position"] == "after token 10 at position 4 on toy wide"
    assert words["end"] == "1 places before the longest end"
    assert words["batch size"] == "in batches of 2 to 7 rows"
    before = groups["whole prefix"]
    again = around.contexts(1, rows, torch.tensor([[6, 7, 0], [9, 0, 11]]))["whole prefix"]
    assert torch.equal(before[0], again[0]), "the token itself is not part of it"
    assert before[1, 1] == again[1, 1]
    assert before[1, 2] != again[1, 2]


def different_settings(call: Planned) -> int:
    return len({setting_words(params) for _, params in call.rows})


def test_the_plan_has_unequal_batches_long_texts_every_setting_and_neighbouring_seeds() -> None:
    plan = CallPlan(lambda need: need in CAPABILITIES, 100)
    calls = [plan.next() for _ in range(84)]
    asked = [params.seed for call in calls for _, params in call.rows]
    seeds = [seed for seed in asked if seed is not None]
    assert seeds == list(range(101, 101 + len(seeds)))
    assert len(seeds) < 0.9 * len(asked), "some calls have none"
    assert {call.world for call in calls} == set(BET_WORLDS)
    assert {len(call.rows) for call in calls} >= {1, 2, 3, 17, 33, 64, 512}
    assert max(params.max_new_tokens for call in calls for _, params in call.rows) > 128
    settings = {setting_words(params) for call in calls for _, params in call.rows}
    assert len(settings) == 26
    assert max(map(different_settings, calls)) == 25, "in one batch"
    bare = CallPlan(lambda need: need in CAPABILITIES, 100, lookup=False)
    assert not any(bare.next().lookup for _ in range(84))


def test_prefixes_of_the_recurring_toy_recur(tmp_path: Path) -> None:
    engine = Looped(*toy(RECURRING).write(tmp_path))
    prompt = list(written(RECURRING, 48)[0].prompt)
    params = [SamplingParams(max_new_tokens=64, seed=seed) for seed in range(64)]
    done = engine.generate([prompt] * 64, params, speculative=True)
    assert len({tuple(one.tokens[:32]) for one in done}) < 40
    assert len({tuple(one.tokens[:64]) for one in done}) > 20, "and there are real choices"


class Tilted(Looped):
    """From the 18th position on, tokens next to each other in rank exchange mass, by a sign that
    follows the last token and the position."""

    def __init__(self, target: Path, draft: Path | None):
        super().__init__(target, draft)
        forward = self.target.forward

        def tilted(tokens: Tensor, cache=None, parents=None, counts=None):
            before = None if cache is None else cache.lengths.clone()
            out = forward(tokens, cache, parents, counts)
            if before is None or parents is not None:
                return out
            at = before[:, None] + torch.arange(tokens.shape[1])
            return replace(out, logits=exchanged(out.logits, tokens, at))

        self.target.forward = tilted  # type: ignore[method-assign]
        if self.draft is self.target:
            self.draft = Looped(target, draft).target


def exchanged(logits: Tensor, tokens: Tensor, at: Tensor) -> Tensor:
    """[R,T,V] logits with the second and the third likeliest token's mass moved by nine tenths."""
    p = logits.double().softmax(-1)
    top = p.topk(3, -1)
    sign = ((tokens * 7919 + at * 104729) * 2654435761 >> 11 & 1) * 2 - 1
    moved = 0.9 * sign * top.values[..., 2]
    change = torch.stack((torch.zeros_like(moved), moved, -moved), -1)
    wrong = p.scatter_add(-1, top.indices, change).clamp(min=1e-300).log()
    return torch.where((at >= 18)[..., None], wrong.to(logits.dtype), logits)


def run(engine: type[Looped], budget: float) -> list[Verdict]:
    heard: list[Verdict] = []

    def tell(event: str, check: str, verdict: Verdict | None) -> None:
        if verdict is not None:
            heard.append(verdict)

    judge(engine, Session("test", "engine", 0, budget), [CHECK], tell)
    return heard


def test_a_late_fault_of_random_sign_is_convicted_and_told() -> None:
    last = run(Tilted, 120)[-1]
    assert last.verdict == "FAIL"
    assert re.search(r"the token of rank [23] by p came \d+ times in \d+", last.what), last.what
    assert "at position" in last.what
    assert last.pictures


def test_a_right_engine_passes_and_says_what_it_would_have_found() -> None:
    heard = run(Looped, 20)
    assert {one.verdict for one in heard} <= {"PASS", "INCONCLUSIVE"}
    assert heard[0].verdict == "INCONCLUSIVE", "before anything was rehearsed"
    last = heard[-1]
    assert last.mde is None
    assert last.sees == max(one.tv or 1 for one in last.reach[:3])
    lean, bias = last.reach[:2]
    assert (lean.fault, bias.fault) == ("a lean to or from the draft", "a bias of tokens")
    assert Verdict.from_dict(last.as_dict()) == last


def test_a_pass_by_classes_claims_no_single_tv() -> None:
    classes = (
        Reach("a lean to or from the draft", 0.024, True),
        Reach("a bias of tokens", 0.0331, True),
        Reach("one that follows the token before", None),
    )
    by_class = Verdict("PASS", "e-process", id="engine.token-bets", reach=classes)
    ranked = Verdict("PASS", "e-process", id="engine.tokens", mde=0.022)
    report = Report("x", "engine", 0, checks=[by_class, ranked], expected=("a",))
    report.expected = tuple(one.id for one in report.checks)
    said = sentence(report)
    assert "would have been found" not in said
    assert "0.022" not in said
    assert "a lean to or from the draft, TV 0.024; a bias of tokens, TV 0.034" in said
    assert "Of no size for sure: one that follows the token before" in said
    assert "Other checks" not in said
    assert reach(ranked) == ""
    narrow = Verdict("PASS", "e-process", id="engine.bonus", reach=classes[:2])
    report.checks.append(narrow)
    assert sentence(report).count("would have convicted") == 1
    assert sentence(report).endswith("Other checks that state theirs in the report: 1.")
    of_kernel = replace(by_class, id="kernel.bets")
    assert "prefix" in reach(by_class)
    assert "prefix" not in reach(of_kernel)
