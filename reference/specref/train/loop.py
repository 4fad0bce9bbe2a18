"""Training the toy models. One loop, `fit`, serves every one of them: it takes a loss and knows
nothing else.

The batch of step i depends on the text, the seed and i alone, so a run that was killed resumes as
if nothing had happened.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..data import SpecrefError
from ..model.checkpoint import save_tensors
from ..model.config import Config
from ..model.transformer import Transformer
from .corpus import END, held_out_rows

TARGET = Config(
    vocab_size=256,
    hidden_size=128,
    intermediate_size=320,
    num_hidden_layers=24,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
    max_position_embeddings=1024,
    eos_token_id=(END,),
)
DRAFT = Config(
    vocab_size=256,
    hidden_size=128,
    intermediate_size=320,
    num_hidden_layers=1,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
    max_position_embeddings=1024,
    eos_token_id=(END,),
)


@dataclass(frozen=True)
class TrainingPlan:
    """How long and how: `context` tokens a row (every fourth step twice that), `batch` rows."""

    steps: int
    batch: int = 16
    context: int = 256
    rate: float = 2e-3
    warmup: int = 100
    seed: int = 0
    save_every: int = 100
    teacher: str = ""  # name of the target that is learned from, if any


def windows(text: Tensor, plan: TrainingPlan, step: int) -> Tensor:
    """The [B,C+1] int64 rows of one step: a function of the text, the seed and the step alone.

    text: uint8 [L], from which rows are cut anywhere; or [R,2C+1], rows that stay whole, half as
    many a step.
    """
    if text.dim() == 2:
        random = torch.Generator().manual_seed(plan.seed * 1_000_003 + step)
        return text[torch.randint(len(text), (max(1, plan.batch // 2),), generator=random)].long()
    double = step % 4 == 3
    rows, context = (
        (max(1, plan.batch // 2), 2 * plan.context) if double else (plan.batch, plan.context)
    )
    if len(text) <= context + 1:
        raise SpecrefError(
            f"the text has {len(text)} bytes and one row takes {context + 1}: "
            "give more text or a smaller --context"
        )
    random = torch.Generator().manual_seed(plan.seed * 1_000_003 + step)
    start = torch.randint(len(text) - context - 1, (rows,), generator=random)
    return text[start[:, None] + torch.arange(context + 1)].long()


def multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for it; where not, it is emulated, at half of
    float32's speed.
    """
    told = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(told.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def next_token_loss(model: Transformer) -> Callable[[Tensor], Tensor]:
    """Cross-entropy in nats per token."""
    return lambda rows: F.cross_entropy(
        model(rows[:, :-1]).logits.float().flatten(0, 1), rows[:, 1:].flatten()
    )


def learning_rate(plan: TrainingPlan, step: int) -> float:
    """Linear warm-up, then a cosine down to a tenth."""
    if step < plan.warmup:
        return plan.rate * (step + 1) / plan.warmup
    done = (step - plan.warmup) / max(1, plan.steps - plan.warmup)
    return plan.rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))


def save_state(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, identity: str
) -> None:
    tensors = {f"model.{name}": value.contiguous() for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}.{name}"] = value
    metadata = {"step": str(step), "identity": identity}
    save_tensors(path, tensors, metadata)


def load_state(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, identity: str
) -> int:
    """Step to go on from. A state of another plan, model or text is refused, never overwritten."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("identity") != identity:
                raise SpecrefError(
                    f"{path} belongs to a run with other settings, in another arithmetic or on"
                    " another text: choose another folder, or delete it to start afresh"
                )
            model.load_state_dict({n: file.get_tensor(f"model.{n}") for n in model.state_dict()})
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    optimizer.state[parameter] = {
                        key: file.get_tensor(f"{key}.{name}")
                        for key in ("step", "exp_avg", "exp_avg_sq")
                    }
    except (SafetensorError, OSError) as error:
        raise SpecrefError(f"{path} is damaged ({error}): delete it to start afresh") from None
    return int(metadata["step"])


def fit(
    model: nn.Module,
    loss: Callable[[Tensor], Tensor],
    text: Tensor,
    plan: TrainingPlan,
    folder: Path,
    report: Callable[[int, float, float], None] = lambda step, loss, left: None,
) -> list[float]:
    """Train until plan.steps, from the beginning or from the state in `folder`.

    Args:
        loss: rows [B,C+1] -> scalar in nats. report: called with the step, the loss and the seconds
            left.
    Returns:
        the losses of the steps run now. Killed at any moment, a run loses at most plan.save_every
            steps.
    """
    bfloat16 = multiplies_bfloat16()
    identity = json.dumps(
        [
            asdict(plan),
            bfloat16,
            sorted((n, list(p.shape)) for n, p in model.named_parameters()),
            list(text.shape),
            hashlib.sha256(text.numpy().tobytes()).hexdigest(),
        ]
    )
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, plan.rate, betas=(0.9, 0.95), weight_decay=0.05, fused=True
    )
    folder.mkdir(parents=True, exist_ok=True)
    state = folder / "training.safetensors"
    first = load_state(state, model, optimizer, identity) if state.exists() else 0
    losses, began = [], time.monotonic()
    model.train()
    try:
        for step in range(first, plan.steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(plan, step)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                value = loss(windows(text, plan, step))
            value.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(value.item())
            if not math.isfinite(losses[-1]):
                raise SpecrefError(
                    f"the loss became {losses[-1]} at step {step}: lower --rate and start again"
                    f" from the state in {folder}"
                )
            if (step + 1) % plan.save_every == 0 or step + 1 == plan.steps:
                save_state(state, model, optimizer, step + 1, identity)
            each = (time.monotonic() - began) / len(losses)
            report(step + 1, losses[-1], each * (plan.steps - step - 1))
    finally:
        model.eval()
    return losses


@torch.inference_mode()
def bits_per_byte(
    model: Transformer, texts: dict[str, bytes], context: int = 256, rows: int = 256
) -> float:
    """Mean negative log2 p of held-out bytes, each seen with at least context / 2 bytes before
    it.
    """
    bits: list[Tensor] = []
    for row in held_out_rows(texts, context, rows).split(16):
        logp = model(row[:, :-1]).logits.float().log_softmax(-1).gather(2, row[:, 1:, None])[..., 0]
        bits.append(-logp[:, context // 2 :].flatten() / math.log(2))
    return float(torch.cat(bits).mean())
