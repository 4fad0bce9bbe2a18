"""The same weights in Hugging Face transformers: its `generate`, and its assisted generation.

Only `specref bench` uses it, and only where transformers is installed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .timing import Stopwatch, Timed


def has_transformers() -> bool:
    try:
        import transformers  # noqa: F401
    except ImportError:
        return False
    return True


def transformers_runs(
    target: Path, draft: Path, prompts: list[list[int]], new_tokens: int, gamma: int
) -> dict[str, Callable[[int], Timed]]:
    """Runs for `timing.in_turn`: transformers' plain and assisted generation, at temperature 1.

    The assistant drafts exactly gamma tokens each time: its own schedule and its early stop are
    switched off.
    """
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()

    def load(folder: Path) -> Any:
        model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        model.generation_config.eos_token_id = None
        return model

    model, assistant = load(target), load(draft)
    assistant.generation_config.num_assistant_tokens = gamma
    assistant.generation_config.num_assistant_tokens_schedule = "constant"
    assistant.generation_config.assistant_confidence_threshold = 0.0

    def timed(**more: Any) -> Callable[[int], Timed]:
        def run(number: int) -> Timed:
            prompt = torch.tensor([prompts[number % len(prompts)]])
            torch.manual_seed(number)
            watch = Stopwatch(torch.device("cpu"))
            with torch.inference_mode():
                out = model.generate(
                    prompt,
                    attention_mask=torch.ones_like(prompt),
                    do_sample=True,
                    temperature=1.0,
                    top_k=0,
                    top_p=1.0,
                    max_new_tokens=new_tokens,
                    **more,
                )
            return watch.stop(out.shape[1] - prompt.shape[1])

        return run

    return {
        "transformers plain": timed(),
        "transformers assisted": timed(assistant_model=assistant),
    }
