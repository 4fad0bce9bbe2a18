"""An adapter for a whole engine in this process, to be judged.

    specdec validate my_adapter.py:Mine

It runs as it stands: a small decoder without a cache that drafts three tokens a cycle. Put your engine where it says so;
then `Decoder`, `speculate` and `plain` are yours to delete. The judge writes toy checkpoints (Hugging Face's Llama layout,
float32), hands you their folders, and knows the law of every text that may come out.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Generator, Tensor

from reference.conformance.contract import Completion, Engine, Metrics, SamplingParams

DRAFTED = 3  # tokens a cycle


class Mine(Engine):
    name = "mine"
    lossless = True  # False if it is meant to change the target's law: then it is reported as such
    # What it has, out of contract.CAPABILITIES. What you leave out is not asked for, and is reported as unsupported.
    # Say "metrics" if you can: without it the judge cannot see whether speculation ran at all.
    supports = frozenset({"sampling", "seed", "metrics"})

    def __init__(self, target: Path, draft: Path | None):
        # ---- your engine: load both checkpoints in float32, with the longest draft and the greatest batch you like -------
        if draft is None:
            raise ValueError("this engine has no drafter that needs no model")
        self.target, self.draft = Decoder(target), Decoder(draft)

    def generate(self, prompts: list[list[int]], params: SamplingParams | list[SamplingParams], *,
                 speculative: bool) -> list[Completion]:
        """Continue every prompt. One params for all prompts, or, with "batch", one each."""
        # ---- your engine: hand it the prompts as token ids, and every parameter that you said it supports ----------------
        each = params if isinstance(params, list) else [params] * len(prompts)
        return [self.continued(prompt, wanted, speculative) for prompt, wanted in zip(prompts, each)]

    def continued(self, prompt: list[int], params: SamplingParams, speculative: bool) -> Completion:
        """One text: it ends with an end token, which is kept, or where max_new_tokens or the context ends."""
        generator = Generator()
        generator.seed() if params.seed is None else generator.manual_seed(params.seed)
        ends = {*self.target.ends, *params.stop_ids}
        room = min(params.max_new_tokens, self.target.context - len(prompt))
        tokens: list[int] = []
        counted = {"target_steps": -1, "drafted": 0, "accepted": 0}  # the first step reads the prompt, and is not counted
        while len(tokens) < room and not ends & {*tokens}:
            text = prompt + tokens
            step = self.speculate if speculative and tokens and len(text) + DRAFTED < self.target.context else self.plain
            *kept, last = step(text, params, generator, counted)
            for token in [*kept, last]:
                if len(tokens) < room and not ends & {*tokens}:
                    tokens.append(token)
            counted["accepted"] += min(len(kept), len(prompt) + len(tokens) - len(text))  # those that are in the text
        reason = "stop" if ends & {*tokens} else "length"
        counted["target_steps"] = max(0, counted["target_steps"])
        return Completion(tokens, reason, metrics=Metrics(**counted))

    def plain(self, text: list[int], params: SamplingParams, generator: Generator, counted: dict[str, int]) -> list[int]:
        """One target forward, one token."""
        counted["target_steps"] += 1
        return [draw(self.target.laws(text, 1, params)[0], generator)]

    def speculate(self, text: list[int], params: SamplingParams, generator: Generator, counted: dict[str, int]) -> list[int]:
        """One cycle: draft, one target forward, accept with min(1, p/q), and one token more."""
        drafted, laws = list(text), []
        for _ in range(DRAFTED):
            laws.append(self.draft.laws(drafted, 1, params)[0])
            drafted.append(draw(laws[-1], generator))
        p = self.target.laws(drafted, DRAFTED + 1, params)  # [K+1,V]
        counted["target_steps"] += 1
        counted["drafted"] += DRAFTED
        for i, (token, q) in enumerate(zip(drafted[len(text):], laws)):
            if torch.rand((), generator=generator) * q[token] >= p[i, token]:
                residual = (p[i] - q).clamp(min=0)
                return [*drafted[len(text): len(text) + i], draw(residual if residual.sum() > 0 else p[i], generator)]
        return [*drafted[len(text):], draw(p[DRAFTED], generator)]


def draw(law: Tensor, generator: Generator) -> int:
    return int(torch.multinomial(law, 1, generator=generator))


class Decoder:
    """Llama in plain torch, all tokens anew at every step."""

    def __init__(self, folder: Path):
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = load_file(folder / "model.safetensors")
        self.context: int = self.config["max_position_embeddings"]
        ends = self.config.get("eos_token_id")
        self.ends: list[int] = ends if isinstance(ends, list) else [] if ends is None else [ends]

    def laws(self, tokens: list[int], last: int, params: SamplingParams) -> Tensor:
        """The laws of what follows the last so many tokens: [last,V]."""
        logits = self.logits(torch.tensor(tokens))[-last:]
        if params.temperature == 0:
            return F.one_hot(logits.argmax(-1), logits.shape[-1]).float()
        return (logits / params.temperature).softmax(-1)

    @torch.no_grad()
    def logits(self, tokens: Tensor) -> Tensor:
        """[N] -> [N,V]."""
        config, weights = self.config, self.weights
        heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
        wide = config.get("head_dim") or config["hidden_size"] // heads
        theta = (config.get("rope_parameters") or config).get("rope_theta", 10000.0)
        angle = torch.outer(torch.arange(len(tokens)), theta ** -(torch.arange(0, wide, 2) / wide))
        cos, sin = (turn.repeat(1, 2) for turn in (angle.cos(), angle.sin()))  # [N,D]

        def norm(x: Tensor, name: str) -> Tensor:
            return F.rms_norm(x, x.shape[-1:], weights[name], config["rms_norm_eps"])

        def rotated(x: Tensor) -> Tensor:
            left, right = x.chunk(2, -1)
            return x * cos + torch.cat([-right, left], -1) * sin

        x = weights["model.embed_tokens.weight"][tokens]  # [N,E]
        for i in range(config["num_hidden_layers"]):
            layer = f"model.layers.{i}."
            y = norm(x, layer + "input_layernorm.weight")
            q, k, v = ((y @ weights[f"{layer}self_attn.{name}_proj.weight"].T).unflatten(-1, (-1, wide)).transpose(0, 1)
                       for name in "qkv")  # [H,N,D], [G,N,D] twice
            k, v = (part.repeat_interleave(heads // groups, 0) for part in (rotated(k), v))
            y = F.scaled_dot_product_attention(rotated(q)[None], k[None], v[None], is_causal=True)[0]
            x = x + y.transpose(0, 1).flatten(1) @ weights[layer + "self_attn.o_proj.weight"].T
            y = norm(x, layer + "post_attention_layernorm.weight")
            y = F.silu(y @ weights[layer + "mlp.gate_proj.weight"].T) * (y @ weights[layer + "mlp.up_proj.weight"].T)
            x = x + y @ weights[layer + "mlp.down_proj.weight"].T
        head = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
        return norm(x, "model.norm.weight") @ head.T
