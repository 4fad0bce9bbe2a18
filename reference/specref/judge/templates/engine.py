"""An adapter for an engine that generates text in this process.

    specref validate my_adapter.py:Mine --budget 120

The file runs as it is: a small decoder without a cache, which drafts three tokens a cycle. Replace
the marked parts by calls of your engine, then delete `Row`, `Decoder` and `cycle`. The judge writes
toy checkpoints (Hugging Face's Llama layout, float32), passes their folders, and knows the
distribution of every text that may come out.
"""

import json
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from specref.judge.contract import Completion, Engine, Metrics, SamplingParams

K = 3  # draft tokens a cycle


class Mine(Engine):
    name = "mine"
    lossless = True  # False: your engine changes the distribution on purpose
    # What your engine has, out of contract.CAPABILITIES. The judge does not ask for the rest.
    # "metrics": without it the judge cannot see whether speculation ran.
    # "batch": many prompts in one call; the judge then draws far more in the same time.
    supports = frozenset({"sampling", "seed", "batch", "stop", "metrics"})

    def __init__(self, target: Path, draft: Path | None):
        # ---- your engine: load both checkpoints in float32
        if draft is None:
            raise ValueError("this engine needs a draft model")
        self.target, self.draft = Decoder(target), Decoder(draft)
        self.vocabulary = self.target.config["vocab_size"]
        self.context = self.target.config["max_position_embeddings"]
        if self.draft.config["vocab_size"] != self.vocabulary:
            raise ValueError("draft and target have different vocabularies")
        # ---- to here

    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams | list[SamplingParams],
        *,
        speculative: bool,
    ) -> list[Completion]:
        """Continue every prompt (token ids). A list of params comes only if you support "batch"."""
        # ---- your engine: pass the prompts and every parameter that `supports` names
        each = params if isinstance(params, list) else [params] * len(prompts)
        rows = [Row(prompt, one, self.context) for prompt, one in zip(prompts, each, strict=True)]
        while going := [row for row in rows if not row.reason]:  # a finished row leaves the batch
            self.cycle(going, speculative)
        return [
            Completion(
                row.tokens, row.reason, metrics=Metrics(row.steps, row.drafted, row.accepted)
            )
            for row in rows
        ]
        # ---- to here

    def cycle(self, rows: list["Row"], speculative: bool) -> None:
        """Draft K tokens, score them in one target forward, accept with min(1, p/q), add one."""
        texts = [row.prompt + row.tokens for row in rows]
        temperature = torch.tensor([row.params.temperature for row in rows])  # [B]
        # Every row draws as many random numbers in every cycle, so that its text does not depend
        # on the other rows: K for the drafts, K to accept, one for the last token.
        u = torch.tensor([[row.random.random() for _ in range(2 * K + 1)] for row in rows])
        # [B] bool: the first cycle only reads the prompt, and a draft must fit into the context.
        drafts = torch.tensor(
            [
                speculative and bool(row.tokens) and len(text) + K < self.context
                for row, text in zip(rows, texts, strict=True)
            ]
        )
        count = K if bool(drafts.any()) else 0
        q = torch.zeros(len(rows), count, self.vocabulary)  # [B,K,V]
        for i in range(count):
            q[:, i] = self.draft.distributions(texts, temperature, 1)[:, 0]
            tokens = draw(q[:, i], u[:, i]).tolist()
            texts = [[*text, token] for text, token in zip(texts, tokens, strict=True)]
        p = self.target.distributions(texts, temperature, count + 1)  # [B,K+1,V]
        draft = torch.tensor([text[len(text) - count :] for text in texts], dtype=torch.long)
        q_x = q.gather(2, draft[..., None])[..., 0]  # [B,K]
        p_x = p[:, :count].gather(2, draft[..., None])[..., 0]  # [B,K]
        accept = (u[:, K : K + count] * q_x < p_x) & drafts[:, None]  # [B,K]
        accepted = accept.long().cumprod(1).sum(1)  # [B]
        last = (torch.arange(len(rows)), accepted)
        q = torch.cat([q * drafts[:, None, None], torch.zeros_like(p[:, :1])], 1)  # [B,K+1,V]
        residual = (p[last] - q[last]).clamp(min=0)  # [B,V]
        residual = residual.where(residual.sum(-1, keepdim=True) > 0, p[last])
        final = draw(residual, u[:, -1])
        for i, row in enumerate(rows):
            row.steps += bool(row.tokens)
            row.drafted += count * bool(drafts[i])
            row.accepted += row.take(draft[i, : accepted[i]].tolist())
            row.take([int(final[i])])


class Row:
    """One request: its text, its random numbers, and where it ends."""

    def __init__(self, prompt: list[int], params: SamplingParams, context: int):
        self.prompt, self.params = prompt, params
        self.room = min(params.max_new_tokens, context - len(prompt))
        self.tokens: list[int] = []
        self.reason = "" if self.room > 0 else "length"
        # torch's own generator would read the low 32 bits of a seed only
        self.random = Random(params.seed)
        self.steps = self.drafted = self.accepted = 0

    def take(self, tokens: list[int]) -> int:
        """Add tokens up to the end of the text, which may lie inside a draft.

        Returns:
            How many were added.
        """
        for count, token in enumerate(tokens):
            if self.reason:
                return count
            self.tokens.append(token)
            if self.stops():
                self.reason = "stop"
            elif len(self.tokens) == self.room:
                self.reason = "length"
        return len(tokens)

    def stops(self) -> bool:
        """Whether the text ends with a stop. A stop sequence may begin in an earlier cycle."""
        if self.tokens[-1] in self.params.stop_ids:
            return True
        return any(self.tokens[-len(s) :] == list(s) for s in self.params.stop_sequences)


def draw(weights: Tensor, u: Tensor) -> Tensor:
    """weights [B,V], not normalised; u [B] uniform in [0,1) -> [B] tokens."""
    cumulative = weights.double().cumsum(-1)
    return (cumulative <= u[:, None] * cumulative[:, -1:]).sum(-1)


class Decoder:
    """Llama in plain torch. Every forward reads all tokens."""

    def __init__(self, folder: Path):
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = load_file(folder / "model.safetensors")

    @torch.no_grad()
    def distributions(self, texts: list[list[int]], temperature: Tensor, last: int) -> Tensor:
        """temperature [B] -> [B,last,V]: what follows each of the last tokens of each text."""
        lengths = torch.tensor([len(text) for text in texts])
        longest = int(lengths.max())
        padded = torch.tensor([text + [0] * (longest - len(text)) for text in texts])  # [B,N]
        ends = lengths[:, None] + torch.arange(-last, 0)  # [B,last]
        x = self.states(padded)[torch.arange(len(texts))[:, None], ends]  # [B,last,E]
        head = self.weights.get("lm_head.weight", self.weights["model.embed_tokens.weight"])
        logits = x @ head.T  # [B,last,V]
        greedy = F.one_hot(logits.argmax(-1), logits.shape[-1]).float()
        t = temperature[:, None, None]
        return torch.where(t > 0, (logits / t.where(t > 0, 1)).softmax(-1), greedy)

    def states(self, tokens: Tensor) -> Tensor:
        """tokens [B,N] -> [B,N,E]."""
        config, weights = self.config, self.weights
        heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
        width = config.get("head_dim") or config["hidden_size"] // heads  # D
        theta = (config.get("rope_parameters") or config).get("rope_theta", 10000.0)
        frequency = theta ** -(torch.arange(0, width, 2) / width)  # [D/2]
        angle = torch.outer(torch.arange(tokens.shape[1]), frequency)  # [N,D/2]
        cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)  # [N,D]

        def norm(x: Tensor, name: str) -> Tensor:
            return F.rms_norm(x, x.shape[-1:], weights[name], config["rms_norm_eps"])

        def linear(x: Tensor, name: str) -> Tensor:
            return x @ weights[f"{name}.weight"].T

        def split(x: Tensor) -> Tensor:
            return x.unflatten(-1, (-1, width)).transpose(1, 2)  # [B,heads,N,D]

        def rotate(x: Tensor) -> Tensor:
            left, right = x.chunk(2, -1)
            return x * cos + torch.cat([-right, left], -1) * sin

        x = weights["model.embed_tokens.weight"][tokens]  # [B,N,E]
        for i in range(config["num_hidden_layers"]):
            layer = f"model.layers.{i}"
            y = norm(x, f"{layer}.input_layernorm.weight")
            q = rotate(split(linear(y, f"{layer}.self_attn.q_proj")))  # [B,H,N,D]
            k = rotate(split(linear(y, f"{layer}.self_attn.k_proj")))  # [B,G,N,D]
            v = split(linear(y, f"{layer}.self_attn.v_proj"))  # [B,G,N,D]
            k, v = (part.repeat_interleave(heads // groups, 1) for part in (k, v))  # [B,H,N,D]
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # [B,H,N,D]
            x = x + linear(y.transpose(1, 2).flatten(2), f"{layer}.self_attn.o_proj")
            y = norm(x, f"{layer}.post_attention_layernorm.weight")
            gate, up = linear(y, f"{layer}.mlp.gate_proj"), linear(y, f"{layer}.mlp.up_proj")
            x = x + linear(F.silu(gate) * up, f"{layer}.mlp.down_proj")
        return norm(x, "model.norm.weight")
