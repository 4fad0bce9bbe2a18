"""Which files are broken, and the tests that must notice: a table by the start of the file's path,
the longest that fits. A new file of the core is in the run from its first day.
"""

from collections.abc import Collection, Iterable, Sequence

from tests.mutants import ROOT, mutants

# tests, each group of them in a process of its own: the quick ones first
Groups = tuple[Sequence[str], ...]
PACKAGE = ROOT / "reference" / "specref"


def _tests(room: str, names: str) -> list[str]:
    return [f"tests/{room}/test_{name}.py" for name in names.split()]


DISTRIBUTION = (_tests("stats", "by_hand power"), _tests("stats", "validity detection"))
KERNEL_PARTS = {
    "kernel": "answers",
    "kernel_call": "answers",
    "kernel_diagnose": "diagnose",
    "kernel_group": "group",
    "kernel_stream": "stream pooled",
    "kernel_cells": "cells exact",
    "kernel_exact": "exact",
    "kernel_distribution": "distributions",
    "kernel_pooled": "pooled",
    "kernel_rows": "rows",
    "kernel_tally": "tally group",
    "kernel_tree": "trees",
}
# files of judge/kernel/ and their tests
KERNEL_ROOM = {
    "answers": "mixed",
    "bad_rows": "mixed",
    "checks": "mixed",
    "half_checks": "bets",
    "logits": "logits",
    "pace": "mixed",
    "pairs": "rows",
    "questions": "bets",
    "reach": "bets",
    "rows": "mixed",
    "scenarios": "mixed",
    "stream": "bets",
    "stream_checks": "bets",
    "texts": "rows",
}
JUDGES: dict[str, Groups] = {  # what says whether another engine is right
    "stats/sequential.py": DISTRIBUTION,
    "stats/power.py": (_tests("stats", "power"), *DISTRIBUTION),
    "stats/finding.py": DISTRIBUTION,
    "stats/pit.py": (_tests("stats", "pit"),),
    "stats/pooled.py": (_tests("stats", "pooled"),),
    "exact/enumerate.py": (
        _tests("exact", "enumerate"),
        ["tests/chance", "tests/judge/test_oracle.py"],
    ),
    "judge/oracle.py": (_tests("judge", "oracle"),),
    "judge/params_oracle.py": (_tests("judge", "params_oracle"),),
    "judge/betting/text_bet.py": (_tests("judge", "engine_bets"),),
    "judge/betting/surroundings.py": (_tests("judge", "engine_bets"),),
    "judge/schedule.py": (_tests("judge", "schedule"),),
    "judge/cases.py": (_tests("judge", "cases"), _tests("judge", "kernel_distributions")),
}
for _name, _parts in KERNEL_PARTS.items():
    JUDGES[f"judge/suite/{_name}.py"] = tuple(
        [f"tests/judge/test_kernel_{part}.py"] for part in _parts.split()
    )


def names_nothing(starts: Iterable[str], files: Collection[str]) -> list[str]:
    """The beginnings of paths with which no file begins."""
    found = []
    for start in starts:
        if not any(file.startswith(start) for file in files):
            found.append(start)
    return found


LOOP = _tests("decode", "bad_input stops_and_lengths requests cache_contents greedy_output")
HANDED = _tests("decode", "what_a_cycle_tells")
EXACT = _tests("decode", "exact_distribution")
FORWARD = _tests("model", "cache tree initial_weights")
# what people copy: start of a path -> its tests
CORE: dict[str, Groups] = {
    "chance.py": (["tests/chance"],),
    "checks.py": (_tests("verify", "refusals"), _tests("decode", "bad_input")),
    "data.py": (
        _tests("verify", "refusals") + _tests("probs", "edges") + _tests("decode", "completion"),
        LOOP,
    ),
    "probs.py": (_tests("probs", "edges penalties"), _tests("probs", "hugging_face"), EXACT),
    "copying.py": (["tests/copying"],),
    "errors.py": (_tests("cli", "errors"),),
    "outputs.py": (_tests("cli", "outputs"),),
    "decode": (HANDED, LOOP, EXACT),
    "stops.py": (_tests("decode", "stops_and_lengths"), LOOP),
    "speculate.py": (["tests/speculate"],),
    "verify/": (_tests("verify", "refusals lossless"), ["tests/tree/test_tree_distribution.py"]),
    "verify/greedy.py": (_tests("verify", "refusals"), LOOP),
    "verify/nodes.py": (_tests("verify", "candidates lossy_rules"),),
    "verify/walk.py": (_tests("verify", "candidates"),),
    "verify/naive.py": (_tests("verify", "candidates"),),
    "verify/k_sequential.py": (_tests("verify", "candidates"),),
    "verify/canonical.py": (_tests("verify", "candidates"),),
    "verify/pair_weights.py": (_tests("verify", "candidates"),),
    "verify/traversal.py": (_tests("verify", "candidates lossless"),),
    "verify/medusa_typical.py": (_tests("verify", "lossy_rules refusals"),),
    "verify/fly.py": (_tests("verify", "lossy_rules refusals"),),
    "verify/relaxed.py": (_tests("verify", "lossy_rules refusals"),),
    "verify/ensemble.py": (_tests("verify", "lossy_rules refusals"),),
    "verify/synthetic.py": (_tests("verify", "lossy_rules refusals"),),
    "verify/matching.py": (_tests("verify", "refusals lossless"), EXACT),
    "verify/typical.py": (
        _tests("verify", "lossy_typical refusals"),
        _tests("measure", "frontier"),
    ),
    "draft/": (["tests/draft"], LOOP, EXACT),
    "draft/early_exit.py": (_tests("draft", "early_exit"), EXACT),
    "draft/medusa.py": (_tests("tree", "heads"),),
    "draft/model.py": (_tests("draft", "model_drafter"), EXACT),
    "draft/mtp.py": (_tests("tree", "heads"), _tests("model", "distil"), EXACT),
    "draft/ngram.py": (_tests("draft", "ngram"),),
    "draft/suffix.py": (_tests("draft", "suffix"),),
    "model/": (FORWARD, _tests("model", "hugging_face refusals")),
    "model/auxiliary.py": (_tests("tree", "heads"), _tests("model", "refusals")),
    "model/chat.py": (_tests("model", "chat"),),
    "model/config_json.py": (_tests("model", "refusals"),),
    "model/checkpoint.py": (_tests("model", "refusals"), _tests("model", "hugging_face")),
    "model/flex.py": (_tests("model", "paged"),),
    "model/paged.py": (_tests("model", "paged"),),
    "model/pool.py": (_tests("model", "paged"),),
    "model/tokenizer.py": (_tests("model", "text"), _tests("model", "refusals")),
    "serve/": tuple(_tests("serve", name) for name in ("engine", "load", "same_answers")),
    "serve/calibrate.py": (_tests("serve", "calibrate"),),
    "serve/chunked_prefill.py": (_tests("serve", "chunked_prefill"),),
    "serve/depth_policy.py": (_tests("serve", "depth_search pace"), _tests("measure", "records")),
    "serve/detokenizer.py": (_tests("serve", "detokenizer"), _tests("serve", "http")),
    "serve/answering.py": (_tests("serve", "http"),),
    "serve/answers.py": (_tests("serve", "protocol"), _tests("serve", "http")),
    "serve/engine_thread.py": (_tests("serve", "load"), _tests("serve", "http")),
    "serve/http_server.py": (_tests("serve", "http"),),
    "serve/openapi.py": (_tests("serve", "openapi"),),
    "serve/parameters.py": (_tests("serve", "protocol"), _tests("serve", "http")),
    "serve/parallel.py": (_tests("serve", "shared_ranks"),),
    "serve/protocol.py": (_tests("serve", "protocol"), _tests("serve", "http")),
    "serve/scheduler.py": (_tests("serve", "scheduler"), _tests("measure", "records")),
    "serve/sequence.py": (_tests("serve", "engine") + _tests("measure", "records"),),
    "serve/settings.py": (_tests("serve", "engine load") + _tests("measure", "records"),),
    "measure/": (["tests/measure"],),
    "measure/acceptance/frontier.py": (_tests("measure", "frontier records"),),
    "measure/acceptance/heads.py": (_tests("measure", "head_rates"),),
    "measure/acceptance/positions.py": (_tests("measure", "decoding_runs"),),
    "measure/acceptance/rates.py": (_tests("measure", "rates records"),),
    "measure/distribution_checks.py": (
        _tests("measure", "distribution_checks records"),
        _tests("cli", "demo"),
    ),
    "measure/held_out.py": (_tests("measure", "held_out"),),
    "measure/serving/arrivals.py": (_tests("measure", "held_out published records"),),
    "measure/serving/bench.py": (_tests("measure", "serving_bench published records"),),
    "measure/serving/clients.py": (_tests("measure", "serving_clients records"),),
    "measure/speed/bench.py": (_tests("measure", "speed_bench records"),),
    "measure/speed/calibration.py": (_tests("measure", "calibration"),),
    "measure/speed/candidate_tree.py": (_tests("measure", "candidate_tree"),),
    "measure/speed/cost.py": (_tests("measure", "cost"),),
    "measure/speed/decoding_runs.py": (_tests("measure", "decoding_runs records"),),
    "measure/speed/drafter_profile.py": (_tests("measure", "drafter_profile records"),),
    "measure/speed/hugging_face.py": (_tests("measure", "hugging_face_runs"),),
    "measure/speed/plain.py": (_tests("measure", "decoding_runs"),),
    "measure/speed/precision.py": (_tests("measure", "precision"),),
    "measure/speed/step_costs.py": (_tests("measure", "step_costs records"),),
    "measure/speed/timing.py": (_tests("measure", "timing records"),),
    "measure/speed/tree_plan.py": (_tests("measure", "tree_plan"),),
}


def _core_files() -> dict[str, Groups]:
    """Every file of the core in which something can be edited."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE).as_posix()
        fitting = [start for start in CORE if file.startswith(start)]
        if fitting and mutants(file):
            found[file] = CORE[max(fitting, key=len)]
    return found


CORE_FILES = _core_files()
FILES: dict[str, Groups] = {**CORE_FILES, **JUDGES}


def room(file: str) -> str:
    """What a file is counted under: its folder, or its own name."""
    return file.split("/")[0].removesuffix(".py")
