"""Hugging Face transformers: assisted generation with a draft model, prompt lookup, early exit, and
its verification step.

Needs the package transformers. With an assistant it takes one prompt at a time, so there is no
"batch" here.
"""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from specref.judge.contract import Completion, Engine, InjectableKernel, Metrics, SamplingParams

try:
    import transformers
    from transformers.generation import utils
except ImportError as error:
    raise ImportError("the package transformers is not here: pip install transformers") from error

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

# token i is written as one letter, so that stop sequences are strings and strings are tokens
_FIRST_LETTER = 0x4E00


class Counts(transformers.LogitsProcessor):
    """Presence and frequency penalties over the output, which transformers itself has not."""

    def __init__(self, prompt: int, params: SamplingParams):
        self.prompt, self.params = prompt, params

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        count = torch.nn.functional.one_hot(input_ids[:, self.prompt :], scores.shape[-1]).sum(1)
        return (
            scores
            - self.params.presence_penalty * (count > 0)
            - self.params.frequency_penalty * count
        )


class Assisted(Engine):
    """`generate` with a draft model as its assistant."""

    name = "transformers: assisted generation"
    supports = frozenset(
        {
            "sampling",
            "top_k",
            "top_p",
            "min_p",
            "seed",
            "stop",
            "min_tokens",
            "logit_bias",
            "penalties",
            "logprobs",
            "metrics",
        }
    )
    own_draft = False
    draft_tokens = 3

    def __init__(self, target: Path, draft: Path | None):
        self.model = self.load(target)
        self.tokenizer = _letters(self.model.config.vocab_size)
        self.how = self.speculation(draft)

    def load(self, folder: Path) -> Any:
        return transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def speculation(self, draft: Path | None) -> dict[str, Any]:
        """The arguments of `generate` that make it speculate."""
        if draft is None:
            raise ValueError(
                "assisted generation needs a draft model; prompt lookup is transformers-lookup"
            )
        assistant = self.load(draft)
        # Only the assistant's own settings count: those given to `generate` are not looked at.
        assistant.generation_config.num_assistant_tokens = self.draft_tokens
        assistant.generation_config.num_assistant_tokens_schedule = "constant"
        assistant.generation_config.assistant_confidence_threshold = 0.0
        return {"assistant_model": assistant}

    @torch.inference_mode()
    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams | list[SamplingParams],
        *,
        speculative: bool,
    ) -> list[Completion]:
        each = [params] * len(prompts) if isinstance(params, SamplingParams) else params
        return [
            self.one(prompt, its, self.how if speculative else {})
            for prompt, its in zip(prompts, each, strict=True)
        ]

    def one(self, prompt: list[int], params: SamplingParams, how: dict[str, Any]) -> Completion:
        ids = torch.tensor([prompt])
        tally = Tally(self.model)
        # `generate` has no seed of its own: torch's generator gets it, and gets its state back for
        # requests without one.
        with torch.random.fork_rng(devices=[], enabled=params.seed is not None):
            if params.seed is not None:
                torch.manual_seed(params.seed)
            out = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                return_dict_in_generate=True,
                output_scores=True,
                **_arguments(params, len(prompt), self.tokenizer),
                **how,
            )
        tokens = out.sequences[0, len(prompt) :].tolist()
        stopped = bool(tokens) and _ends(tokens, params)
        logprobs = [float(row[0].log_softmax(-1)[token]) for row, token in zip(out.scores, tokens)]
        if params.temperature == 0:
            # scores are given before the argmax, which is the distribution
            logprobs = [0.0] * len(tokens)
        return Completion(
            tokens, "stop" if stopped else "length", logprobs, tally.metrics(len(tokens))
        )


class Lookup(Assisted):
    """`generate` with drafts looked up in the text so far."""

    name, own_draft = "transformers: prompt lookup", True

    def speculation(self, draft: Path | None) -> dict[str, Any]:
        return {"prompt_lookup_num_tokens": self.draft_tokens}


class AssistedEarlyExit(Assisted):
    """`generate` with the target's first layer as the draft."""

    name, own_draft = "transformers: early exit", True

    def speculation(self, draft: Path | None) -> dict[str, Any]:
        config = self.model.generation_config
        config.num_assistant_tokens, config.num_assistant_tokens_schedule = (
            self.draft_tokens,
            "constant",
        )
        config.assistant_confidence_threshold = 0.0
        return {"assistant_early_exit": 1}


def _letters(vocabulary: int) -> Any:
    """A tokenizer of single letters: `stop_strings` asks for one."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    # which transformers tries it with
    known = [chr(_FIRST_LETTER + i) for i in range(vocabulary)] + list("abcdef")
    words = Tokenizer(models.WordLevel({letter: i for i, letter in enumerate(known)}, known[0]))
    words.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    words.decoder = decoders.Fuse()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words)


def _arguments(params: SamplingParams, prompt: int, tokenizer: Any) -> dict[str, Any]:
    """What `generate` calls these parameters."""
    given: dict[str, Any] = {
        "max_new_tokens": params.max_new_tokens,
        "do_sample": params.temperature > 0,
        "eos_token_id": list(params.stop_ids) or None,
        "repetition_penalty": params.repetition_penalty,
    }
    if params.temperature > 0:
        given |= {
            "temperature": params.temperature,
            "top_k": params.top_k,
            "top_p": params.top_p,
            "min_p": params.min_p or None,
        }
    if params.min_tokens:
        given["min_new_tokens"] = params.min_tokens
    if params.logit_bias:
        given["sequence_bias"] = {
            (token,): float(bias) for token, bias in params.logit_bias.items()
        }
    if params.presence_penalty or params.frequency_penalty:
        given["logits_processor"] = transformers.LogitsProcessorList([Counts(prompt, params)])
    if params.stop_sequences:
        given["tokenizer"] = tokenizer
        given["stop_strings"] = [_as_letters(stop) for stop in params.stop_sequences]
    return given


def _as_letters(tokens: Sequence[int]) -> str:
    return "".join(chr(_FIRST_LETTER + token) for token in tokens)


def _ends(tokens: Sequence[int], params: SamplingParams) -> bool:
    return tokens[-1] in params.stop_ids or any(
        list(tokens[-len(stop) :]) == list(stop) for stop in params.stop_sequences
    )


class Tally:
    """Counts what is drafted and kept, cycle by cycle, at the candidate generator of the next call
    of `generate`.
    """

    def __init__(self, model: Any):
        self.cycles = self.drafted = self.accepted = 0
        make = type(model)._get_candidate_generator
        model._get_candidate_generator = lambda **given: self.watch(make(model, **given))

    def watch(self, generator: Any) -> Any:
        propose, update = generator.get_candidates, generator.update_candidate_strategy

        def get_candidates(input_ids: Tensor, **more: Any) -> Any:
            candidates, logits = propose(input_ids, **more)
            self.draft = candidates[0, input_ids.shape[1] :].tolist()
            self.start = input_ids.shape[1]
            self.cycles += 1
            self.drafted += len(self.draft)
            return candidates, logits

        def update_candidate_strategy(input_ids: Tensor, scores: Tensor, num_matches: int) -> None:
            text = input_ids[0, self.start :].tolist()
            self.accepted += next(
                (i for i, pair in enumerate(zip(self.draft, text)) if pair[0] != pair[1]),
                min(len(self.draft), len(text)),
            )
            update(input_ids, scores, num_matches)

        generator.get_candidates, generator.update_candidate_strategy = (
            get_candidates,
            update_candidate_strategy,
        )
        return generator

    def metrics(self, tokens: int) -> Metrics:
        """The first cycle's forward reads the prompt too and counts all the same."""
        return Metrics(self.cycles or tokens, self.drafted, self.accepted)


class AssistedStep(InjectableKernel):
    """`_speculative_sampling`, which judges one row. Drafts without a distribution get the one-hot
    distribution that they have.
    """

    name = "transformers: _speculative_sampling"

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        torch.manual_seed(seed)
        return self.rows(p, q, draft, [torch] * len(draft))

    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        return self.rows(p, q, draft, [TorchWithUniforms(*pair) for pair in zip(accept_u, final_u)])

    def rows(
        self, p: Tensor, q: Tensor | None, draft: Tensor, coins: Sequence[ModuleType]
    ) -> Tensor:
        batch, count = draft.shape
        if q is None:
            q = torch.nn.functional.one_hot(draft, p.shape[2]).to(p.dtype)
        out = torch.full((batch, count + 1), -1)
        try:
            for row, source in enumerate(coins):
                utils.torch = source
                tokens, _ = utils._speculative_sampling(
                    draft[row : row + 1], q[row : row + 1].log(), count, p[row : row + 1].log()
                )
                out[row, : tokens.shape[1]] = tokens[0]
        finally:
            utils.torch = torch
        return out


class TorchWithUniforms(ModuleType):
    """torch with the coins [K] and the last draw's uniform that the judge chose."""

    def __init__(self, accept_u: Tensor, final_u: Tensor):
        super().__init__("torch")
        self.accept_u, self.final_u = accept_u, final_u

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def rand_like(self, like: Tensor) -> Tensor:
        return self.accept_u.view(like.shape)

    def multinomial(self, distribution: Tensor, num_samples: int) -> Tensor:
        """The first token whose cumulative share is above the uniform; none of share 0."""
        total = distribution.double().cumsum(-1)
        if not bool(total[..., -1].isfinite().all()):
            return torch.multinomial(distribution, num_samples)  # which says what is wrong
        above = (total > self.final_u.double() * total[..., -1:]).long()
        return above.argmax(-1, keepdim=True)
