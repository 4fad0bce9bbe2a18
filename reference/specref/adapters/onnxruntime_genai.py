"""ONNX Runtime GenAI: speculation with a draft model, or with n-grams of the text so far.

Needs the packages onnxruntime-genai, onnx, onnx-ir, torch and transformers, which convert the
checkpoint. Speculation takes one prompt at a time, so there is no "batch" here; nor is there a
"stop", which callers of `generate_next_token` see to.
"""

import contextlib
import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from specref.judge.contract import Completion, Engine, Metrics, SamplingParams

try:
    import onnx  # noqa: F401
    import onnx_ir  # noqa: F401
    import onnxruntime_genai
    import transformers
    from tokenizers import Tokenizer, models
except ImportError as error:
    raise ImportError(
        "a package is not here: pip install onnxruntime-genai onnx onnx-ir transformers"
    ) from error

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


class GenaiDrafted(Engine):
    """A draft model proposes."""

    name = "onnxruntime-genai: draft model"
    supports = frozenset({"sampling", "top_k", "top_p", "seed", "min_tokens", "metrics"})
    own_draft = False
    draft_tokens = 3

    def __init__(self, target: Path, draft: Path | None):
        self.folder = tempfile.TemporaryDirectory(prefix="specref-onnx-")
        root = Path(self.folder.name)
        config = _converted(target, root / "target")
        self.plain = onnxruntime_genai.Model(str(root / "target"))
        self.speculating = self.speculation(config, root, draft)
        self.context = config["model"]["context_length"]

    def speculation(self, config: dict[str, Any], root: Path, draft: Path | None) -> Any:
        if draft is None:
            raise ValueError(
                "this engine needs a draft model; n-gram lookup is onnxruntime-genai-ngram"
            )
        decoder = _converted(draft, root / "draft")["model"]["decoder"]
        return _configured(
            config,
            root,
            {"max_draft_tokens": self.draft_tokens},
            decoder | {"filename": "../draft/model.onnx"},
        )

    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams | list[SamplingParams],
        *,
        speculative: bool,
    ) -> list[Completion]:
        each = [params] * len(prompts) if isinstance(params, SamplingParams) else params
        return [
            self.one(prompt, its, speculative) for prompt, its in zip(prompts, each, strict=True)
        ]

    def one(self, prompt: list[int], params: SamplingParams, speculative: bool) -> Completion:
        model = self.speculating if speculative else self.plain
        longest = min(len(prompt) + params.max_new_tokens, self.context)
        given: dict[str, Any] = {"max_length": longest, "do_sample": params.temperature > 0}
        if params.temperature > 0:
            given |= {
                "temperature": params.temperature,
                "top_k": params.top_k,
                "top_p": params.top_p,
            }
        if params.min_tokens:
            given["min_length"] = len(prompt) + params.min_tokens
        if params.seed is not None:
            given["random_seed"] = params.seed % 2**31  # it is kept in an int
        search = onnxruntime_genai.GeneratorParams(model)
        search.set_search_options(**given)
        generator = onnxruntime_genai.Generator(model, search)
        generator.append_tokens(prompt)
        while not generator.is_done():
            generator.generate_next_token()
        tokens = [int(token) for token in generator.get_sequence(0)[len(prompt) :]]
        # the end token itself is left out
        reason = "length" if len(prompt) + len(tokens) == longest else "stop"
        if not speculative:
            return Completion(tokens, reason, None, Metrics(len(tokens), 0, 0))
        return Completion(
            tokens, reason, None, _metrics(generator.get_speculative_stats(), reason == "stop")
        )

    def close(self) -> None:
        self.folder.cleanup()


class GenaiNGram(GenaiDrafted):
    """Drafts are looked up in the text so far."""

    name, own_draft = "onnxruntime-genai: n-gram", True

    def speculation(self, config: dict[str, Any], root: Path, draft: Path | None) -> Any:
        return _configured(config, root, {"max_draft_tokens": self.draft_tokens, "ngram_size": 2})


def _metrics(seen: dict[str, Any], stopped: bool) -> Metrics:
    """Its own counts, less what it discards: it counts what its verifier accepts, also behind the
    text's end. A round's last token is no draft, and the end token, kept out of the text, is among
    the discarded."""
    cut = max(0, seen["tokens_discarded"] - stopped - 1)
    return Metrics(
        seen["rounds"] + seen["standard_fallback_steps"],
        seen["draft_tokens_proposed"],
        seen["draft_tokens_accepted"] - cut,
    )


def _converted(checkpoint: Path, folder: Path) -> dict[str, Any]:
    """Write a checkpoint's ONNX model, in float32, with its genai_config.json, which is
    returned.
    """
    from onnxruntime_genai.models import builder

    # It takes every layer with as many outputs as the vocabulary has tokens for the head, and small
    # models have others.
    builder.LlamaModel.has_lm_head = lambda self, module: module is self.weights.lm_head
    source = folder.with_suffix(".source")
    shutil.copytree(checkpoint, source)
    vocabulary = json.loads((source / "config.json").read_text())["vocab_size"]
    # the converter asks for one
    words = Tokenizer(models.WordLevel({f"<{i}>": i for i in range(vocabulary)}, "<0>"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(source)
    given = ("", str(source), str(folder), "fp32", "cpu", str(folder.with_suffix(".cache")))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        builder.create_model(*given, **builder.parse_extra_options(*given, []))
    return json.loads((folder / "genai_config.json").read_text())


def _configured(
    config: dict[str, Any],
    root: Path,
    speculative: dict[str, int],
    draft: dict[str, Any] | None = None,
) -> Any:
    """The target again, with a speculative block."""
    folder = root / "speculating"
    shutil.copytree(root / "target", folder)
    model = config["model"] | ({"draft": draft} if draft else {})
    (folder / "genai_config.json").write_text(
        json.dumps(config | {"model": model, "speculative": speculative})
    )
    return onnxruntime_genai.Model(str(folder))
