"""Adapters that misbehave, one way each, around a right step. Imported by path, as a user's file
is.
"""

import ctypes
import os
import sys
import time

import torch
from specref.judge.contract import Kernel


class Right(Kernel):
    """Rejection sampling, row by row."""

    name = "right"

    def verify(self, p, q, draft, seed):
        generator = torch.Generator().manual_seed(seed)
        out = torch.full((len(draft), draft.shape[1] + 1), -1)
        for b, row in enumerate(draft.tolist()):
            final = p[b, len(row)]
            for i, token in enumerate(row):
                target, drafted = float(p[b, i, token]), 1.0 if q is None else float(q[b, i, token])
                if float(torch.rand((), generator=generator)) * drafted < target:
                    out[b, i] = token
                    continue
                rest = p[b, i].clone() if q is None else (p[b, i] - q[b, i]).clamp(min=0)
                if q is None:
                    rest[token] = 0
                final = rest
                break
            else:
                i = len(row)
            out[b, i] = torch.multinomial(final, 1, generator=generator)
        return out


def spoiled(spoil):
    class Spoiled(Right):
        name = spoil.__name__

        def verify(self, p, q, draft, seed):
            return spoil(super().verify(p, q, draft, seed), p, draft)

    return Spoiled


@spoiled
def raises(out, p, draft):
    raise RuntimeError("no such row\nat all")


@spoiled
def nothing(out, p, draft):
    return None


@spoiled
def garbage(out, p, draft):
    return "tokens"


@spoiled
def lists(out, p, draft):
    return out.tolist()


@spoiled
def array(out, p, draft):
    return out.numpy().astype("int32")


@spoiled
def float_array(out, p, draft):
    return out.numpy().astype(float)


@spoiled
def narrow(out, p, draft):
    return out[:, :-1]


@spoiled
def too_many(out, p, draft):
    return torch.cat([out, out], 1)


@spoiled
def floats(out, p, draft):
    return out.float()


@spoiled
def nan(out, p, draft):
    return out * float("nan")


@spoiled
def holes(out, p, draft):
    return torch.cat([torch.full_like(out[:, :1], -1), out[:, :-1]], 1)


@spoiled
def out_of_range(out, p, draft):
    out[:, 0] = p.shape[2]
    return out


@spoiled
def mutates(out, p, draft):
    p.mul_(0.5)
    return out


@spoiled
def exits(out, p, draft):
    sys.exit(7)


@spoiled
def noisy(out, p, draft):
    print("verifying " * 100)
    os.write(1, b"\xff\xfe\x00 binary \n")
    os.write(2, b"to the error stream\n")
    return out


@spoiled
def resets(out, p, draft):
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_num_threads(2)
    torch.manual_seed(0)
    return out


class Dying(Right):
    """Dies in the first calls of as many processes as BEAST_DEATHS names ways, and then is
    right.
    """

    def __init__(self):
        self.way = None
        with open(os.environ["BEAST_DEATHS"], "r+") as file:
            ways = file.read().split()
            if ways:
                self.way = ways.pop(0)
                file.seek(0)
                file.truncate()
                file.write(" ".join(ways))

    def verify(self, p, q, draft, seed):
        {
            "hang": hang_in_c,
            "leave": lambda: os._exit(5),
            "segfault": lambda: ctypes.string_at(0),
            None: lambda: None,
        }[self.way]()
        return super().verify(p, q, draft, seed)


def hang_in_c():
    ctypes.PyDLL(None).sleep(60)  # keeps the interpreter's lock


@spoiled
def outputs_a_subclass(out, p, draft):
    class Odd(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            raise TypeError("no operation on this tensor")

    return out.as_subclass(Odd)


@spoiled
def gives_up_memory(out, p, draft):
    torch.empty(1 << 60)
    return out


@spoiled
def global_coins(out, p, draft):
    """Right, but from torch's global generator, whatever the seed."""
    return Right().verify(p, None, draft, int(torch.randint(1 << 40, ())))


class RedrawsFromP(Kernel):
    """Draws what replaces a rejected token from p, not from the residual."""

    name = "redraws from p"

    def verify(self, p, q, draft, seed):
        generator = torch.Generator().manual_seed(seed)
        batch, count = draft.shape
        q = torch.nn.functional.one_hot(draft, p.shape[2]).float() if q is None else q
        at = draft[..., None]
        coins = torch.rand(batch, count, generator=generator)
        kept = coins * q.gather(2, at)[..., 0] < p[:, :count].gather(2, at)[..., 0]
        accepted = kept.long().cumprod(1).sum(1)
        final = torch.multinomial(p[torch.arange(batch), accepted], 1, generator=generator)
        out = torch.cat([draft, torch.zeros_like(final)], 1)
        return out.where(torch.arange(count + 1) < accepted[:, None], -1).scatter(
            1, accepted[:, None], final
        )


class NoConstructor(Right):
    def __init__(self):
        raise ValueError("no such device")


class ExitsAtOnce(Right):
    def __init__(self):
        os._exit(9)


class Waits(Right):
    """Says which process it is, and waits."""

    def verify(self, p, q, draft, seed):
        place = os.environ["BEAST_WAITS"]
        with open(place + ".part", "w") as file:
            file.write(str(os.getpid()))
        os.rename(place + ".part", place)
        time.sleep(60)
