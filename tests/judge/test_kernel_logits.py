"""A kernel of logits is asked by every check of a kernel, and its greedy rows by one of their own.

Nothing here is random but by a seed.
"""

import pytest
import torch
from specref.adapters.reference import Rejection
from specref.judge.contract import LogitsKernel
from specref.judge.kernel.logits import TEMPERATURES, FromLogits, as_kernel
from specref.judge.load import load_adapter
from specref.judge.schedule import judge
from specref.judge.session import Session
from specref.judge.suite import checks
from specref.judge.verdict import Verdict
from specref.judge.zoo.logits_kernels import LOGITS_BUGS, Softmaxed, TiesToTheLast
from torch import Tensor


class Noted(Softmaxed):
    def __init__(self) -> None:
        self.seen: list[tuple[Tensor, Tensor | None, Tensor]] = []

    def verify_logits(self, target, proposed, draft, temperature, seed):
        self.seen.append((target, proposed, temperature))
        return super().verify_logits(target, proposed, draft, temperature, seed)


def greedy_of(kernel: LogitsKernel) -> Verdict:
    (chosen,) = [item for item in checks("kernel") if item.id == "kernel.greedy"]
    (said,) = judge(kernel, Session("x", "kernel"), [chosen])
    return said


def test_logits_at_their_temperature_are_the_distributions() -> None:
    """Zeros are -inf, every row has its temperature, and no row of logits is normalised."""
    kernel = Noted()
    p = torch.tensor([[[0.5, 0.25, 0.25, 0.0], [0.1, 0.2, 0.3, 0.4]]]).repeat(40, 1, 1)
    q = torch.tensor([[[0.0, 0.5, 0.25, 0.25]]]).repeat(40, 1, 1)
    FromLogits(kernel).verify(p, q, torch.ones(40, 1, dtype=torch.int64), 7)
    ((target, proposed, temperature),) = kernel.seen
    assert proposed is not None
    assert {*temperature.tolist()} == {*TEMPERATURES}
    rows = temperature[:, None, None]
    assert torch.allclose((target / rows).softmax(2), p, atol=1e-6)
    assert torch.allclose((proposed / rows).softmax(2), q, atol=1e-6)
    assert bool((target[:, 0, 3] == -torch.inf).all())
    assert not bool(torch.isclose(target[:, 1].logsumexp(1), torch.zeros(40), atol=1e-3).all())
    with pytest.raises(TypeError, match="float16"):
        FromLogits(kernel).verify(p.half(), None, torch.ones(40, 1, dtype=torch.int64), 7)


def test_a_kernel_of_distributions_is_asked_as_it_is() -> None:
    kernel = Rejection()
    assert as_kernel(kernel) is kernel
    assert isinstance(as_kernel(Softmaxed()), FromLogits)


@pytest.mark.parametrize("place", [0, 1])
def test_one_token_that_is_not_the_likeliest_fails_in_a_greedy_row(place: int) -> None:
    class Second(Softmaxed):
        def verify_logits(self, target, proposed, draft, temperature, seed):
            out = super().verify_logits(target, proposed, draft, temperature, seed)
            last = (out >= 0).sum(1) - 1
            if target.shape[2] == 37 and bool((last == place).any()):
                row = int((last == place).nonzero()[0])
                out[row, place] = target[row, place].topk(3).indices[2]
            return out

    said = greedy_of(Second())
    assert said.verdict == "FAIL"
    assert said.what.startswith("at temperature 0 row ")
    assert "V = 37" in said.scenario


def test_greedy_rows_may_take_either_of_two_that_are_equally_likely() -> None:
    for kernel in (Softmaxed(), TiesToTheLast()):
        said = greedy_of(kernel)
        assert said.verdict == "PASS"
        could, kept = _counts(said)
        assert 0 < kept <= could


def _counts(said: Verdict) -> tuple[int, int]:
    _, could, kept = (int(w.replace(",", "")) for w in said.what.split() if w[0].isdigit())
    return could, kept


def test_drafts_that_are_never_kept_are_right_and_counted() -> None:
    class Slow(Softmaxed):
        def verify_logits(self, target, proposed, draft, temperature, seed):
            out = super().verify_logits(target, proposed, draft, temperature, seed)
            out[:, 1:] = -1
            return out

    said = greedy_of(Slow())
    assert said.verdict == "PASS"
    assert _counts(said)[1] == 0


def test_two_ways_into_one_kernel_are_refused(tmp_path) -> None:
    file = tmp_path / "both.py"
    file.write_text(
        "from specref.judge.contract import Kernel, LogitsKernel\n"
        "class Both(LogitsKernel):\n"
        "    def verify(self, p, q, draft, seed): return draft\n"
        "    def verify_logits(self, target, proposed, draft, temperature, seed): return draft\n"
    )
    with pytest.raises(Exception, match="verify and verify_logits: give a class for each"):
        load_adapter(f"{file}:Both")


def test_every_planted_bug_names_a_check_that_stands() -> None:
    known = {item.id for item in checks("kernel")}
    assert {bug.caught_by for bug in LOGITS_BUGS} <= known
