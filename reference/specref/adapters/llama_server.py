"""llama.cpp's llama-server, started here and spoken to over loopback: speculation with a draft
model, or with n-grams.

Set SPECREF_LLAMA_SERVER to the path of the program, or `program` in a subclass. Needs the packages
gguf and safetensors.
"""

import atexit
import json
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from specref.adapters.served import Running, word
from specref.judge.contract import Completion, Engine, Metrics, SamplingParams

try:
    import gguf
    from safetensors.numpy import load_file
except ImportError as error:
    raise ImportError("a package is not here: pip install gguf safetensors") from error

_SLOTS = 4  # requests that a server works on at a time
_WITHOUT = ["--spec-type", "none"]
# float32 throughout, one thread, and no tries at speed that change sums
_PLAIN = [
    "-ctk",
    "f32",
    "-ctv",
    "f32",
    "-fa",
    "off",
    "-np",
    str(_SLOTS),
    "-t",
    "1",
    "-tb",
    "1",
    "-ngl",
    "0",
    "--no-warmup",
    "--no-webui",
    "--offline",
]


class LlamaDrafted(Engine):
    """A draft model samples, and the target verifies by rejection."""

    name = "llama-server: draft model"
    supports = frozenset(
        {
            "sampling",
            "top_k",
            "top_p",
            "min_p",
            "seed",
            "batch",
            "stop",
            "logit_bias",
            "penalties",
            "logprobs",
            "metrics",
        }
    )
    own_draft = False
    program = os.environ.get("SPECREF_LLAMA_SERVER", "")
    draft_tokens = 3

    def __init__(self, target: Path, draft: Path | None):
        program = shutil.which(self.program)
        if not program:
            raise FileNotFoundError(
                f"llama-server is not at {self.program!r}: set SPECREF_LLAMA_SERVER to its path"
            )
        self.folder = tempfile.TemporaryDirectory(prefix="specref-gguf-")
        root = Path(self.folder.name)
        context = _converted(target, root / "target.gguf")
        start = [program, "-m", str(root / "target.gguf"), "-c", str(context * _SLOTS), *_PLAIN]
        how = self.speculation(root, draft)
        self.plain = _running([*start, *_WITHOUT], root / "plain.log")
        self.speculating = _running([*start, *how], root / "speculating.log")
        for server in (self.plain, self.speculating):
            server.wait()
        atexit.register(self.close)

    def speculation(self, root: Path, draft: Path | None) -> list[str]:
        if draft is None:
            raise ValueError("this engine needs a draft model; n-gram lookup is llama-server-ngram")
        _converted(draft, root / "draft.gguf")
        return [
            "-md",
            str(root / "draft.gguf"),
            "--spec-type",
            "draft-simple",
            "--spec-draft-n-max",
            str(self.draft_tokens),
            "--spec-draft-sampling",
            "probabilistic",
            "-ctkd",
            "f32",
            "-ctvd",
            "f32",
            "-ngld",
            "0",
        ]

    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams | list[SamplingParams],
        *,
        speculative: bool,
    ) -> list[Completion]:
        each = [params] * len(prompts) if isinstance(params, SamplingParams) else params
        server = self.speculating if speculative else self.plain
        with ThreadPoolExecutor(_SLOTS) as pool:
            return list(
                pool.map(
                    lambda prompt, its: _completion(
                        server.ask("/completion", _request(prompt, its)), its
                    ),
                    prompts,
                    each,
                )
            )

    def close(self) -> None:
        for server in (self.plain, self.speculating):
            server.stop()
        self.folder.cleanup()


class GreedyDrafts(LlamaDrafted):
    """The server's default: the draft is the argmax of the draft model, and the target draws for
    itself.
    """

    name = "llama-server: draft model, greedy drafts"

    def speculation(self, root: Path, draft: Path | None) -> list[str]:
        return [
            word.replace("probabilistic", "greedy") for word in super().speculation(root, draft)
        ]


class LlamaNGram(LlamaDrafted):
    """Drafts are looked up in the text so far."""

    name, own_draft = "llama-server: n-gram", True

    def speculation(self, root: Path, draft: Path | None) -> list[str]:
        return [
            "--spec-type",
            "ngram-simple",
            "--spec-ngram-simple-size-n",
            "2",
            "--spec-ngram-simple-size-m",
            str(self.draft_tokens),
            "--spec-ngram-simple-min-hits",
            "1",
        ]


def _running(command: list[str], log: Path) -> Running:
    here = ["--host", "127.0.0.1", "--port"]
    return Running("llama-server", lambda port: [*command, *here, str(port)], log)


def _request(prompt: list[int], params: SamplingParams) -> dict[str, Any]:
    """The server's names. Temperature comes before the filters, as in the contract."""
    stops = [(token,) for token in params.stop_ids] + list(params.stop_sequences)
    body = {
        "prompt": prompt,
        "n_predict": params.max_new_tokens,
        "temperature": params.temperature,
        "top_k": params.top_k,
        "top_p": params.top_p,
        "min_p": params.min_p,
        "repeat_penalty": params.repetition_penalty,
        "repeat_last_n": 10**6,
        "presence_penalty": params.presence_penalty,
        "frequency_penalty": params.frequency_penalty,
        "samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"],
        "return_tokens": True,
        "n_probs": 1,
        "logit_bias": [[token, max(bias, -1e9)] for token, bias in params.logit_bias.items()],
        "stop": ["".join(map(word, stop)) for stop in stops],
    }
    # the largest means: any
    return body if params.seed is None else body | {"seed": params.seed % (2**32 - 1)}


def _completion(said: dict[str, Any], params: SamplingParams) -> Completion:
    tokens, timings = said["tokens"], said["timings"]
    logprobs = [one["logprob"] for one in said.get("completion_probabilities", ())][: len(tokens)]
    return Completion(
        tokens,
        "length" if said["stop_type"] == "limit" else "stop",
        [0.0] * len(tokens) if params.temperature == 0 else logprobs,
        Metrics(None, timings.get("draft_n", 0), timings.get("draft_n_accepted", 0)),
    )


def _converted(checkpoint: Path, file: Path) -> int:
    """Write a checkpoint as GGUF in float32. -> its context length."""
    config = json.loads((checkpoint / "config.json").read_text())
    vocabulary, heads = config["vocab_size"], config["num_attention_heads"]
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([word(token) for token in range(vocabulary)])
    writer.add_token_types([gguf.TokenType.NORMAL] * vocabulary)
    writer.add_token_merges(["! !"])  # of no token
    if isinstance(config["eos_token_id"], int):
        writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, weight in load_file(checkpoint / "model.safetensors").items():
        for part, count in (("q_proj", heads), ("k_proj", config["num_key_value_heads"])):
            if part in name:  # rotary pairs as neighbours, not as halves
                weight = (
                    weight.reshape(count, 2, -1, weight.shape[1])
                    .swapaxes(1, 2)
                    .reshape(weight.shape)
                )
        writer.add_tensor(names.get_name(name, (".weight",)), weight.astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return config["max_position_embeddings"]
