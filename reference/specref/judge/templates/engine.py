"""An adapter for a whole engine in this process, to be judged.

    specref validate my_adapter.py:Mine --budget 120

It runs as it stands: a small decoder without a cache that drafts three tokens a cycle. Put your
engine where it says so; then `Row`, `Decoder` and the cycle are yours to delete. The judge writes
toy checkpoints (Hugging Face's Llama layout, float32), hands you their folders, and knows the
distribution of every text that may come out.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Generator, Tensor

from specref.judge.contract import Completion, Engine, Metrics, SamplingParams

DRAFTED = 3  # tokens a cycle


class Mine(Engine):
    name = "mine"
    # False if it is meant to change the target's distribution: then it is reported as such
    lossless = True
    # What it has, out of contract.CAPABILITIES. What you leave out is not asked for, and is
    # reported as unsupported. "metrics": without it the judge cannot see whether speculation ran at
    # all. "batch": many prompts in one call, by which the judge draws far more in the same time.
    supports = frozenset({"sampling", "seed", "batch", "stop", "metrics"})

    def __init__(self, target: Path, draft: Path | None):
        # ---- your engine: load both checkpoints in float32, with the longest draft and the
        # greatest batch you like -------
        if draft is None:
            raise ValueError("this engine has no drafter that needs no model")
        self.target, self.draft = Decoder(target), Decoder(draft)
        self.vocabulary, self.context = (
            self.target.config[name] for name in ("vocab_size", "max_position_embeddings")
        )
        if self.draft.config["vocab_size"] != self.vocabulary:
            raise ValueError("draft and target have not the same vocabulary")

    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams | list[SamplingParams],
        *,
        speculative: bool,
    ) -> list[Completion]:
        """Continue every prompt. One params for all prompts, or, with "batch", one each."""
        # ---- your engine: hand it the prompts as token ids, and every parameter that you said it
        # supports ----------------
        each = params if isinstance(params, list) else [params] * len(prompts)
        rows = [Row(prompt, wanted, self.context) for prompt, wanted in zip(prompts, each)]
        # a row leaves the batch when its text ends
        while going := [row for row in rows if not row.reason]:
            self.cycle(going, speculative)
        return [
            Completion(
                row.tokens, row.reason, metrics=Metrics(row.steps, row.drafted, row.accepted)
            )
            for row in rows
        ]

    def cycle(self, rows: list["Row"], speculative: bool) -> None:
        """Draft for each row, one target forward for all, accept with min(1, p/q), and one token
        more.
        """
        texts = [row.prompt + row.tokens for row in rows]
        heat = torch.tensor([row.params.temperature for row in rows])
        # Each row has coins of its own, as many in every cycle, so that its text never depends on
        # its neighbours.
        coins = torch.stack([torch.rand(2 * DRAFTED + 1, generator=row.generator) for row in rows])
        drafts = torch.tensor(
            [
                speculative and bool(row.tokens) and len(text) + DRAFTED < self.context
                # [B]; the first step only reads the prompt
                for row, text in zip(rows, texts)
            ]
        )
        count = DRAFTED if bool(drafts.any()) else 0
        q = torch.zeros(len(rows), count, self.vocabulary)
        for i in range(count):
            q[:, i] = self.draft.distributions(texts, heat, 1)[:, 0]
            texts = [
                [*text, token] for text, token in zip(texts, draw(q[:, i], coins[:, i]).tolist())
            ]
        p = self.target.distributions(texts, heat, count + 1)  # [B,K+1,V]
        # [B,K]
        draft = torch.tensor([text[len(text) - count :] for text in texts], dtype=torch.long)
        q_of, p_of = (
            distribution[:, :count].gather(2, draft[..., None])[..., 0] for distribution in (q, p)
        )
        # [B]
        accepted = (
            ((coins[:, DRAFTED : DRAFTED + count] * q_of < p_of) & drafts[:, None])
            .long()
            .cumprod(1)
            .sum(1)
        )
        place = torch.arange(len(rows)), accepted
        # where nothing was drafted it is 0
        q = torch.cat([q * drafts[:, None, None], torch.zeros_like(p[:, :1])], 1)
        residual = (p[place] - q[place]).clamp(min=0)
        last = draw(residual.where(residual.sum(-1, keepdim=True) > 0, p[place]), coins[:, -1])
        for i, row in enumerate(rows):
            row.steps += bool(row.tokens)
            row.drafted += count * bool(drafts[i])
            row.accepted += row.take(draft[i, : accepted[i]].tolist())
            row.take([int(last[i])])


class Row:
    """One request: its text, its coins, and where it ends."""

    def __init__(self, prompt: list[int], params: SamplingParams, context: int):
        self.prompt, self.params = prompt, params
        self.room = min(params.max_new_tokens, context - len(prompt))
        self.tokens: list[int] = []
        self.reason = "" if self.room > 0 else "length"
        self.generator = Generator()
        self.generator.seed() if params.seed is None else self.generator.manual_seed(params.seed)
        self.steps = self.drafted = self.accepted = 0

    def take(self, tokens: list[int]) -> int:
        """Add tokens up to the text's end, which may lie inside a draft. Returns: how many were
        added.
        """
        for count, token in enumerate(tokens):
            if self.reason:
                return count
            self.tokens.append(token)
            # The checkpoint's own end token is among stop_ids. A stop may be left out of the text,
            # too. A stop sequence may begin in one cycle and end in another: look for it in the
            # text, not in the cycle's tokens.
            stops = (self.tokens[-len(stop) :] == list(stop) for stop in self.params.stop_sequences)
            self.reason = (
                "stop"
                if token in self.params.stop_ids or any(stops)
                else "length"
                if len(self.tokens) == self.room
                else ""
            )
        return len(tokens)


def draw(distributions: Tensor, coins: Tensor) -> Tensor:
    """distributions [B,V], which need not sum to 1, and coins [B] -> [B] tokens."""
    ahead = distributions.double().cumsum(-1)
    return (ahead <= coins[:, None] * ahead[:, -1:]).sum(-1)


class Decoder:
    """Llama in plain torch, all tokens anew at every step."""

    def __init__(self, folder: Path):
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = load_file(folder / "model.safetensors")

    @torch.no_grad()
    def distributions(self, texts: list[list[int]], heat: Tensor, last: int) -> Tensor:
        """heat [B]: temperatures. -> [B,last,V]: the distributions of what follows the last so many
        tokens of each text.
        """
        longest = max(map(len, texts))
        # padding: nobody looks ahead
        x = self.states(torch.tensor([text + [0] * (longest - len(text)) for text in texts]))
        # [B,last]
        ends = torch.tensor([len(text) for text in texts])[:, None] + torch.arange(-last, 0)
        head = self.weights.get("lm_head.weight", self.weights["model.embed_tokens.weight"])
        logits = x[torch.arange(len(texts))[:, None], ends] @ head.T
        greedy, heat = F.one_hot(logits.argmax(-1), logits.shape[-1]).float(), heat[:, None, None]
        return torch.where(heat > 0, (logits / heat.where(heat > 0, 1)).softmax(-1), greedy)

    def states(self, tokens: Tensor) -> Tensor:
        """[B,N] -> [B,N,E]."""
        config, weights = self.config, self.weights
        heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
        wide = config.get("head_dim") or config["hidden_size"] // heads
        theta = (config.get("rope_parameters") or config).get("rope_theta", 10000.0)
        angle = torch.outer(
            torch.arange(tokens.shape[1]), theta ** -(torch.arange(0, wide, 2) / wide)
        )
        cos, sin = (turn.repeat(1, 2) for turn in (angle.cos(), angle.sin()))  # [N,D]

        def norm(x: Tensor, name: str) -> Tensor:
            return F.rms_norm(x, x.shape[-1:], weights[name], config["rms_norm_eps"])

        def rotated(x: Tensor) -> Tensor:
            left, right = x.chunk(2, -1)
            return x * cos + torch.cat([-right, left], -1) * sin

        x = weights["model.embed_tokens.weight"][tokens]
        for i in range(config["num_hidden_layers"]):
            layer = f"model.layers.{i}."
            y = norm(x, layer + "input_layernorm.weight")
            q, k, v = (
                (y @ weights[f"{layer}self_attn.{name}_proj.weight"].T)
                .unflatten(-1, (-1, wide))
                .transpose(1, 2)
                for name in "qkv"
            )  # [B,H,N,D], [B,G,N,D] twice
            k, v = (part.repeat_interleave(heads // groups, 1) for part in (rotated(k), v))
            y = (
                F.scaled_dot_product_attention(rotated(q), k, v, is_causal=True)
                .transpose(1, 2)
                .flatten(2)
            )
            x = x + y @ weights[layer + "self_attn.o_proj.weight"].T
            y = norm(x, layer + "post_attention_layernorm.weight")
            y = F.silu(y @ weights[layer + "mlp.gate_proj.weight"].T) * (
                y @ weights[layer + "mlp.up_proj.weight"].T
            )
            x = x + y @ weights[layer + "mlp.down_proj.weight"].T
        return norm(x, "model.norm.weight")
