"""Adapters that come with the judge: name -> level -> `module:Class`. The first level is the
default.
"""

_HERE = "specref.adapters"
BUILT_IN: dict[str, dict[str, str]] = {
    "reference": {"engine": f"{_HERE}.reference:Looped", "kernel": f"{_HERE}.reference:Rejection"},
    "reference-block": {
        "engine": f"{_HERE}.reference:LoopedBlock",
        "kernel": f"{_HERE}.reference:BlockKernel",
    },
    "reference-matching": {
        "engine": f"{_HERE}.reference:LoopedMatching",
        "kernel": f"{_HERE}.reference:MatchingKernel",
    },
    "reference-tree": {"kernel": f"{_HERE}.reference:Tree"},
    "reference-speculate": {"kernel": f"{_HERE}.one_page:OnePage"},
    "reference-serving": {
        "engine": f"{_HERE}.serving:Serving",
        "scheduler": f"{_HERE}.serving:Depths",
    },
    "reference-ngram": {"engine": f"{_HERE}.reference:LoopedNGram"},
    "reference-early-exit": {"engine": f"{_HERE}.reference:LoopedEarlyExit"},
    "specref-serve": {"engine": f"{_HERE}.served:SpecrefServe"},
    "specref-serve-ngram": {"engine": f"{_HERE}.served:SpecrefServeNGram"},
    "transformers": {
        "engine": f"{_HERE}.transformers:Assisted",
        "kernel": f"{_HERE}.transformers:AssistedStep",
    },
    "transformers-lookup": {"engine": f"{_HERE}.transformers:Lookup"},
    "transformers-early-exit": {"engine": f"{_HERE}.transformers:AssistedEarlyExit"},
    "onnxruntime-genai": {"engine": f"{_HERE}.onnxruntime_genai:GenaiDrafted"},
    "onnxruntime-genai-ngram": {"engine": f"{_HERE}.onnxruntime_genai:GenaiNGram"},
    "llama-server": {"engine": f"{_HERE}.llama_server:LlamaDrafted"},
    "llama-server-greedy": {"engine": f"{_HERE}.llama_server:GreedyDrafts"},
    "llama-server-ngram": {"engine": f"{_HERE}.llama_server:LlamaNGram"},
}
