"""Streams of a right engine, as unpleasant as they may lawfully be: what a test by betting must not
convict.

Every stream has its own vocabulary, batch, temperatures and length. Texts end at token 0, so rows
are ragged. Prompts are chosen by what came before, to the good of whoever wants a false alarm: the
text whose tokens were least likely is continued. One stops at a random level of wealth.
Probabilities are handed over in float32, and in a part of the streams rounded to bfloat16 with the
slack that this needs; logits are tied in another part.

The mixture of all experts is far from alpha, because it spreads its stake. So half of the streams
ask one question alone, where a mistake in an expert would show.
"""

from dataclasses import dataclass, replace

import torch
from specref.stats.betting import Bettor
from specref.stats.questions import Questions
from specref.stats.texts import TextBatch, read_texts, text_questions
from torch import Tensor

from .simulated import RIGHT, Answers, Model, Simulated, shape_of

MOST_ROWS, MOST_PLACES, MOST_CALLS = 10, 12, 12
BF16 = 2.0**-8  # relative error of a number rounded to bfloat16


class Tied(Model):
    """Logits in steps of 1: many tokens are equally likely."""

    def target(self, before: Tensor, place: int) -> Tensor:
        return super().target(before, place).round()


@dataclass(frozen=True)
class Stream:
    """How one stream ended. log_wealth: the largest ever seen."""

    tokens: int
    log_wealth: float
    kind: str


def least_likely(answers: Answers) -> Tensor:
    """[1,3]: the last tokens of the text with the smallest probability per token."""
    T = answers.tokens.shape[1]
    own = answers.p.gather(2, answers.tokens[..., None])[..., 0].log()  # [R,T]
    inside = torch.arange(T) < answers.lengths[:, None]
    worst = int(((own * inside).sum(1) / answers.lengths).argmin())
    text = torch.cat((answers.prompt[worst], answers.tokens[worst, : answers.lengths[worst]]))
    return text[None, -3:]


def handed_over(answers: Answers, rounded: bool) -> TextBatch:
    """Probabilities in float32, or in bfloat16 with a bound on what that moved."""
    texts = answers.texts()
    if not rounded:
        return replace(texts, p=texts.p.float(), q=answers.q.float())
    p = texts.p.to(torch.bfloat16).double()
    tol = p * BF16 + 1e-30
    total = p.sum(-1, keepdim=True)
    # made whole, as a report of probabilities is; the slack covers that step as well
    whole = p / total
    return replace(texts, p=whole, q=answers.q.float(), tol=tol + (whole - p).abs())


def one_question(questions: Questions, number: int) -> Questions:
    """The test that asks one table, one score or the lags, and nothing else."""
    tables, scores = questions.tables, questions.scores
    number %= len(tables) + len(scores) + 4  # the lags four times as often
    if number < len(tables):
        return replace(questions, tables=(tables[number],), scores=(), lags=None)
    number -= len(tables)
    if number < len(scores):
        return replace(questions, tables=(), scores=(scores[number],), lags=None)
    return replace(questions, tables=(), scores=())


def right_stream(seed: int, alpha: float) -> Stream:
    """One stream, stopped at will; every call is looked at."""
    g = torch.Generator().manual_seed(seed)

    def one_of(*values: int) -> int:
        return values[int(torch.randint(len(values), (), generator=g))]

    V = one_of(2, 3, 5, 8, 16)
    places = int(torch.randint(2, MOST_PLACES + 1, (), generator=g))
    tied, rounded = one_of(0, 0, 1), one_of(0, 0, 1)
    model = (Tied if tied else Model)(V, seed)
    engine = Simulated(model, RIGHT, seed + 1, end=None if one_of(0, 0, 1) else 0)
    shape = shape_of(model, MOST_ROWS, MOST_PLACES)
    questions, single = text_questions(shape), one_of(0, 1)
    if single:
        questions = one_question(questions, int(torch.randint(1 << 20, (), generator=g)))
    bettor = Bettor(questions, alpha)
    enough = float(torch.rand((), generator=g)) * 4  # the level at which one is content
    prompt = None
    for _ in range(one_of(4, 8, MOST_CALLS)):
        rows = int(torch.randint(1, MOST_ROWS + 1, (), generator=g))
        answers = engine.run(rows, places, None if prompt is None else prompt.repeat(rows, 1))
        bettor.update(read_texts(shape, handed_over(answers, bool(rounded))))
        if bettor.look() > enough:
            break
        if one_of(0, 1):
            prompt = least_likely(answers)
    kind = ["all questions", "one question"][single]
    kind += [", float32", ", bfloat16"][rounded] + ["", ", tied"][tied]
    return Stream(bettor.n, bettor.largest, kind)
