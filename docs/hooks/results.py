"""Tables from the files that commands wrote with --json. No number of a page is typed by hand."""

import html
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import ages

Result = Mapping[str, Any]
FROM_THE_REPOSITORY = {
    "mutation": "python -m tests.mutation",
    "torture": "python -m tests.torture",
    "betting": "python -m tests.stats.betting_run",  # all parts in one file
}


def path_of(root: Path, command: str) -> Path:
    """`profile medusa` writes medusa.json and `bench --serving` serving.json: the last word names
    the file. A level comes
    behind what was tried there: `zoo --level engine` writes zoo-engine.json."""
    return root / "docs" / "results" / f"{_file(command)}.json"


def wanting(command: str) -> str:
    """What stands where a number will be."""
    return (
        f"No result file is here yet: run `{typed(command)} --json"
        f" docs/results/{_file(command)}.json`."
    )


def typed(command: str) -> str:
    """What one types to run it: only the tests are tried from the repository itself."""
    module, *parts = command.split()
    if module not in FROM_THE_REPOSITORY:
        return f"specref {command}"
    return " ".join((FROM_THE_REPOSITORY[module], *parts))


def _file(command: str) -> str:
    if command.startswith("betting"):
        return "betting"
    return command.replace(" --level ", "-").split()[-1].lstrip("-")


def load(root: Path, command: str) -> Result | None:
    """The result file of a command; None when nobody has run it yet.

    Errors:
        ValueError when the file belongs to another command, or is no JSON.
    """
    path = path_of(root, command)
    if not path.exists():
        return None
    try:
        result = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path.name} is no JSON ({error}): write it again with {typed(command)} --json"
        ) from None
    if result.get("command") != command:
        raise ValueError(
            f"{path.name} was written by {result.get('command')!r}: write it again with"
            f" {typed(command)}"
        )
    return result


def at(result: Result, keys: str) -> Any:
    """result["a"]["b"] for "a.b".

    Errors:
        KeyError names the whole path.
    """
    value: Any = result
    for key in keys.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise KeyError(f"the result of {result.get('command')} has no {keys}")
        value = value[key]
    return value


def number(root: Path, command: str, keys: str, form: str = "{}") -> str:
    """One number of a result, in the running text."""
    result = load(root, command)
    return (
        f"(not measured yet: `{typed(command)}`)"
        if result is None
        else form.format(at(result, keys))
    )


def batch_ratio(root: Path, size: int, way: str) -> str:
    """Tokens a second of one way of serving against plain decoding, in the running text."""
    batch = _batch(root, size)
    return f"{batch[way] / batch['plain']:.2f}×"


def first_token_ratio(root: Path, size: int) -> str:
    """The median wait for the first token with speculation, in units of plain decoding's."""
    waits = _batch(root, size)["latency"]
    return f"{waits['speculative']['first_token_p50'] / waits['plain']['first_token_p50']:.1f}"


def _batch(root: Path, size: int) -> Any:
    """What was measured with so many requests at once.

    Errors:
        LookupError where it was not measured.
    """
    result = load(root, "bench --serving")
    found = [batch for batch in result["batches"] if batch["size"] == size] if result else []
    if not found:
        raise LookupError(f"serving.json has no batch of {size}")
    return found[0]


def lowest_tv(root: Path) -> str:
    """The distance of the typical acceptance that is nearest to the target."""
    result = load(root, "profile thresholds")
    if result is None:
        return wanting("profile thresholds")
    return f"{min(point['tv'] for point in result['points'] + result['medusa']):.2f}"


def table(root: Path, command: str, part: str = "") -> str:
    """A result, or one part of it, as Markdown, with the machine and the commit it comes from."""
    result = load(root, command)
    if result is None:
        return wanting(command)
    age = ages.age(root, path_of(root, command).name, result.get("commit"))
    return TABLES[command, part](result) + "\n\n" + origin(result, age.words)


def origin(result: Result, age: str) -> str:
    """Who wrote a result, where, when, and what has changed since."""
    machine, versions = result["machine"], result["versions"]
    where = machine.get("gpu") or machine["cpu"]
    threads = f"{machine['threads']} thread(s)" if "threads" in machine else ""
    commit = f"commit `{result['commit'][:12]}`" if result.get("commit") else "not in a commit"
    kept = ", ".join(f"{name} {version}" for name, version in versions.items())
    parts = [
        part
        for part in (f"`{typed(result['command'])}`", str(where), threads, kept, commit, age)
        if part
    ]
    named = f'data-result="{_file(result["command"])}"'
    return f'<p class="origin" {named} markdown>Written by {" · ".join(parts)}</p>'


def rows(heads: list[str], body: list[list[str]], words: int = 1) -> str:
    """A Markdown table; the first `words` columns are text, the others are numbers."""
    lines = [heads, ["---"] * words + ["---:"] * (len(heads) - words), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def bench(result: Result) -> str:
    """Speedups by way of decoding, then what the speed model says of them."""
    decode, interval = result.get("speedup_decode_only", {}), result.get("interval", {})
    steps = result.get("tokens_per_step", {})
    body = []
    for name, value in result["speedup"].items():
        low, high = interval.get(name, (None, None))
        body.append(
            [
                name.replace("_", " "),
                f"{value:.2f}×",
                "" if low is None else f"{low:.2f} to {high:.2f}",
                f"{decode[name]:.2f}×" if name in decode else "",
                f"{steps[name]:.2f}" if name in steps else "",
            ]
        )
    heads = [
        "way",
        "speedup, prefill included",
        "95 % interval",
        "decoding only",
        "tokens per target forward",
    ]
    curve = result["verify_curve"]
    costs = ["cost, in single steps", *(f"{value:.2f}" for value in curve.values())]
    parts = [rows(heads, body), rows(["tokens verified together", *curve], [costs])]
    parts.append(
        "Share of the predicted speedup that was reached:"
        f" {100 * result['share_of_prediction']:.0f} %."
    )
    if "vs_transformers" in result:
        versus = result["vs_transformers"]
        parts.append(
            f"Against transformers with the same weights: plain loop {versus['plain']:.2f}×,"
            f" speculative loop {versus['speculative']:.2f}× its assisted generation."
        )
    return "\n\n".join(parts)


def curve(result: Result) -> str:
    """The verify curve at some token counts, both types in units of one float32 token."""
    counts = (1, 2, 3, 4, 6, 8, 12, 16)
    body = []
    for k in map(str, counts):
        cells = [result[name][k] for name in ("verify_curve", "verify_curve_bf16")]
        body.append([k, *(f"{cell:.2f}" for cell in cells)])
    return rows(["tokens in a forward", "float32", "bfloat16"], body)


def limits(result: Result) -> str:
    """What a cycle costs, and the speedup that would be left if drafts and bookkeeping cost
    nothing.
    """
    tokens, guesses = result["tokens_per_step"], result["drafters"]
    names = {
        "sampled": ("float32", result["drafter"]),
        "sampled_bf16": ("bfloat16, the quicker way", result["bf16"]),
        "sampled_bf16_arithmetic": ("bfloat16, computed in it", "bf16 arithmetic"),
    }
    heads = [
        "target",
        "tokens a cycle",
        "forward that judges them",
        "drafts",
        "their cost",
        "were drafts free",
        "measured",
    ]
    body = []
    for name, limit in result["at_most"].items():
        kind, guess = names[name][0], guesses[names[name][1]]
        body.append(
            [
                kind,
                f"{tokens[name]:.2f}",
                f"{tokens[name] / limit:.2f}",
                f"{guess['nodes']:.1f}",
                f"{guess['nodes'] * guess['cost']:.2f}",
                f"{limit:.2f}×",
                f"{result['speedup'][name]:.2f}×",
            ]
        )
    return rows(heads, body)


def block(result: Result, part: str = "block", first: str = "type and tokens") -> str:
    """One block of the target, piece by piece, in units of its float32 work on one token."""
    names = list(next(iter(result[part].values())))
    body = []
    for name, row in result[part].items():
        body.append([name, *(f"{row[piece]:.2f}" for piece in names)])
    return rows([first, *names], body)


def widths(result: Result) -> str:
    """A block's cost by the model's width, in units of its own float32 work on one token."""
    return block(result, "widths", "hidden size")


def zoo(result: Result) -> str:
    """How many planted bugs were caught, and how many right variants were accused."""
    survivors = ", ".join(f"`{name}`" for name in result["survivors"]) or "none"
    return rows(
        ["what", "count"],
        [
            ["planted bugs", str(result["bugs"])],
            ["caught", str(result["killed"])],
            ["not caught", survivors],
            ["right variants that look wrong", str(result["controls"])],
            ["of these accused", str(result["false_alarms"])],
        ],
    )


def distance(tv: float | None) -> str:
    """A total variation; a dash where the bug is no question of a distribution."""
    if tv is None:
        return "–"
    return f"{tv:.3f}" if tv >= 0.001 or not tv else f"{tv:.0e}"


def zoo_bugs(result: Result) -> str:
    """Each planted bug: what a user would see, where its kind was seen, what catches it, and how
    far its distribution is off.
    """
    return rows(
        ["bug", "what a user sees", "seen in", "caught by", "exact TV"],
        [
            [
                f"`{bug['name']}`",
                cell(bug["symptom"]),
                cell(bug["source"]),
                f"`{bug['caught_by']}`" if bug["caught"] else "**nothing**",
                distance(bug["tv"]),
            ]
            for bug in result["bug_table"]
        ],
        words=4,
    )


def zoo_by_tv(result: Result) -> str:
    """Kill rate by the exact distance of the emitted distribution, and seconds to conviction."""
    seconds = result["seconds"]
    table = rows(
        ["exact TV of the bug's distribution", "planted", "caught"],
        [
            [row["tv"], str(row["bugs"]), str(row["killed"])]
            for row in result["by_tv"]
            if row["bugs"]
        ],
    )
    return (
        f"{table}\n\nSeconds to catch one: median {seconds['median']:.2f}, 95 % within"
        f" {seconds['p95']:.2f}. {result['false_alarms']} false alarms in"
        f" {result['control_runs']:,} runs of right variants."
    )


def zoo_controls(result: Result) -> str:
    """Each right variant, and why it is right."""
    return rows(
        ["control", "why it is right", "accused by"],
        [
            [
                cell(control["name"]),
                cell(control["why"]),
                ", ".join(control["convicted_by"]) or "nothing",
            ]
            for control in result["control_table"]
        ],
        words=3,
    )


def zoo_seconds(result: Result) -> str:
    """Each planted bug where it takes an engine or a server to show it: how soon it was caught."""
    return rows(
        ["bug", "what a user sees", "caught by", "exact TV", "seconds"],
        [
            [
                f"`{bug['name']}`",
                cell(bug["symptom"]),
                f"`{bug['caught_by']}`" if bug["caught"] else "**nothing**",
                distance(bug["tv"]),
                f"{bug['seconds']:.1f}",
            ]
            for bug in result["bug_table"]
        ],
        words=3,
    )


def zoo_runs(result: Result) -> str:
    """Each right variant, and under how many seeds it was accused."""
    table = rows(
        ["control", "seeds", "accused under"],
        [
            [cell(control["name"]), f"{control['seeds']:,}", str(len(control["convicted_by"]))]
            for control in result["control_table"]
        ],
    )
    return table + (
        ""
        if result["complete"]
        else "\n\nThis run was stopped before its end: others are still to be tried."
    )


def cell(text: str) -> str:
    """Text that may stand in a table."""
    return " ".join(html.escape(text, quote=False).split()).replace("|", r"\|").replace("*", r"\*")


def mutation(result: Result) -> str:
    """How many small edits of each file were tried, and how many the tests noticed."""
    files = [
        *result["files"],
        {"file": "together"} | {key: result[key] for key in ("possible", "tried", "killed")},
    ]
    return rows(
        ["file", "possible edits", "tried", "noticed", "share"],
        [
            [
                f"`{row['file']}`" if row is not files[-1] else f"**{row['file']}**",
                f"{row['possible']:,}",
                f"{row['tried']:,}",
                f"{row['killed']:,}",
                f"{100 * row['killed'] / row['tried']:.1f} %",
            ]
            for row in files
        ],
    )


def torture(result: Result) -> str:
    """Faults tried on purpose, area by area."""
    body = []
    for area in result["areas"]:
        body.append([area["area"], area["means"], f"{area['tried']:,}", f"{area['well']:,}"])
    return rows(["area", "ending well means", "tried", "ended well"], body, words=2)


def mutation_rooms(result: Result) -> str:
    """The same by room: the core first, then what judges other engines."""
    rooms = sorted(result["rooms"], key=lambda room: not room["core"])
    core = {"room": "the core together", "core": True} | result["core"]
    return rows(
        ["room", "part", "possible edits", "tried", "noticed", "share"],
        [
            [
                room["room"],
                "core" if room["core"] else "judge",
                f"{room['possible']:,}",
                f"{room['tried']:,}",
                f"{room['killed']:,}",
                f"{100 * room['killed'] / room['tried']:.1f} %" if room["tried"] else "–",
            ]
            for room in [*rooms, core]
        ],
        words=2,
    )


def mutation_left(result: Result) -> str:
    """Every edit that was tried and not noticed, and why it may stay so; those of one file and one
    reason together.
    """
    kinds: dict[tuple[str, str], list[str]] = {}
    for row in sorted(result["survivors"], key=lambda row: (row["file"], row["line"])):
        kinds.setdefault((row["file"].rsplit("/", 1)[-1], row["why"]), []).append(
            edit(row["was"], row["becomes"])
        )
    return rows(
        ["file", "edit", "why nothing has to notice"],
        [
            [f"`{file}`", "<br>".join(edits), cell(why) or "**none**"]
            for (file, why), edits in kinds.items()
        ],
        words=3,
    )


def edit(was: str, becomes: str, around: int = 16) -> str:
    """What differs between two lines of code, with a little of what stands around it."""
    start = next(i for i, (old, new) in enumerate(zip(was + " ", becomes + "  ")) if old != new)
    same = next(
        i
        for i, (old, new) in enumerate(zip(reversed(" " + was), reversed("  " + becomes)))
        if old != new
    )
    same = min(same, len(was) - start, len(becomes) - start)
    first, behind = max(start - around, 0), max(same - around, 0)

    def short(line: str) -> str:
        before = "…" if first else ""
        after = "…" if behind else ""
        return f"`{before}{line[first : len(line) - behind].strip()}{after}`"

    return f"{short(was)} → {short(becomes)}"


def betting_validity(result: Result) -> str:
    """False alarms of the test by betting on streams of right engines."""
    if "validity" not in result:
        return wanting("betting validity")
    run = result["validity"]
    low, high = run["interval"]
    table = rows(
        ["streams of right engines", "streams", "false alarms"],
        [
            [one["kind"], f"{one['streams']:,}", str(one["false_alarms"])]
            for one in [*run["kinds"], {"kind": "**together**", **run}]
        ],
    )
    return (
        f"{table}\n\nAllowed at alpha {run['alpha']}: {100 * run['alpha']:.0f} %. The rate seen"
        f" lies between {100 * low:.2f} % and {100 * high:.2f} % ({100 * run['level']:.0f} %"
        f" interval, {run['tokens']:,} tokens)."
    )


def betting_detection(result: Result) -> str:
    """Tokens until a planted fault is convicted, and what the winning expert says."""
    if "detection" not in result:
        return wanting("betting detection")
    return rows(
        ["planted fault", "what the winner says", "TV", "tokens, median of 8"],
        [
            [
                cell(row["fault"]),
                "–" if row["median"] is None else cell(row["words"]),
                row["tv"] if isinstance(row["tv"], str) else distance(row["tv"]),
                "not found" if row["median"] is None else f"{row['median']:,.0f}",
            ]
            for row in result["detection"]
        ],
        words=2,
    )


def betting_mde(result: Result) -> str:
    """What a run would have found, class by class, and how many planted faults were."""
    if "mde" not in result:
        return wanting("betting mde")
    return rows(
        ["class of fault, and its MDE", "planted", "found", "found at .6 of the MDE"],
        [
            [
                cell(row["class"]),
                str(row["planted"]),
                *(
                    ("–", "–")
                    if row["tv"] is None
                    else (str(row["found"]), str(row["found_smaller"]))
                ),
            ]
            for row in result["mde"]
        ],
    )


def methods(result: Result) -> str:
    """Every way to draft for one target, measured in one run, beside its estimate."""
    body, cycles = [], []
    for name, row in result["methods"].items():
        title, cycle = name.replace("_", " "), row["cycle"]
        body.append(
            [
                title,
                row["rule"],
                f"{row['speedup']:.2f}×",
                f"{row['speedup_decode_only']:.2f}×",
                f"{row['predicted']:.2f}×",
                f"{row['tokens_per_cycle']:.2f}",
                str(row["gamma"]),
                str(row["nodes"]),
                " ".join(f"{rate:.2f}" for rate in row["acceptance_by_depth"][:5]),
            ]
        )
        cycles.append([title, *(f"{cycle[part]:.2f}" for part in ("draft", "forward", "rest"))])
    heads = [
        "method",
        "rule",
        "speedup",
        "decoding only",
        "estimate",
        "tokens per cycle",
        "depth",
        "nodes",
        "accepted by depth",
    ]
    parts = [
        "a cycle, in plain steps",
        "drafting",
        "the target's forward",
        "rule, commit, bookkeeping",
    ]
    return f"{rows(heads, body, words=2)}\n\n{rows(parts, cycles)}"


def heads(result: Result) -> str:
    """How often each head is right on held-out text, and what the heads cost in bytes."""
    body = [
        [
            str(k),
            f"{head['top1']:.3f}",
            f"{head['interval'][0]:.3f} to {head['interval'][1]:.3f}",
            f"{head['top5']:.3f}",
        ]
        for k, head in enumerate(result["heads"], 1)
    ]
    sizes = {
        "Medusa heads": "head_bytes",
        "MTP module": "mtp_bytes",
        "draft model": "draft_bytes",
        "target": "target_bytes",
    }
    return "\n\n".join(
        (
            rows(["head", "top-1", "95 % interval", "top-5"], body),
            rows(
                ["part", "bytes in float16", "of the target"],
                [
                    [
                        name,
                        f"{result[key]:,}",
                        f"{100 * result[key] / result['target_bytes']:.1f} %",
                    ]
                    for name, key in sizes.items()
                ],
            ),
        )
    )


def thresholds(result: Result) -> str:
    """The frontier of typical acceptance, nearest to the target first."""
    best = result["lossless"]
    body = [
        [
            "tree, lossless",
            "",
            "",
            f"{best['tokens_per_cycle']:.2f}",
            "0 by theorem",
            f"{best['exact']:.1e}",
        ]
    ]
    for key, name in (("points", "`LossyTypical`, ours"), ("medusa", "`LossyMedusaTypical`")):
        body += [
            [
                name,
                f"{p['epsilon']:g}",
                f"{p['delta']:g}",
                f"{p['tokens_per_cycle']:.2f}",
                f"{p['tv']:.3f} ± {2 * p['error']:.3f}",
                f"{p['exact']:.3f}",
            ]
            for p in sorted(result[key], key=lambda p: p["tv"])
        ]
    return rows(
        [
            "rule",
            "epsilon",
            "delta",
            "tokens per cycle",
            "TV of a cycle's first token",
            "exact TV on a toy",
        ],
        body,
        words=1,
    )


def lookups(result: Result) -> str:
    """Tokens a step of the drafters that look in the text, on loops and on held-out text."""
    worlds = list(next(iter(result["drafters"].values())))
    body = []
    for name, row in result["drafters"].items():
        steps = [f"{row[world]['tokens_per_step']:.2f}" for world in worlds]
        last = row[worlds[-1]]
        share = f"{100 * last['accepted_of_drafted']:.0f} %"
        body.append([name, *steps, f"{last['drafted_per_step']:.2f}", share])
    heads = [
        "drafter",
        *(f"tokens a step, {world}" for world in worlds),
        "drafted a step there",
        "of these accepted",
    ]
    return rows(heads, body)


def rules(result: Result) -> str:
    """Rules that are claimed lossless: their distance, and what they reach of the best."""
    heads = ["rule", "claimed by", "draft", "claim", "computed TV", "accepted", "of the bound"]
    heads += ["tokens a cycle", "of the best"]
    body = []
    for row in result["rules"]:
        claim = row["claim"] if row["holds"] else f"{row['claim']}: **fails**"
        words = [row["name"], row["source"], row["draft"], claim]
        body.append(words + _compared(row, row["tv_max"]))
    return rows(heads, body, words=4) + "".join(map(_refuted, result["rules"]))


def lossy_rules(result: Result) -> str:
    """Rules that say they are lossy, nearest to the target first."""
    heads = ["rule", "from", "distance from", "mean TV", "accepted", "of the bound"]
    heads += ["tokens a cycle", "of the best lossless"]
    body = []
    for row in sorted(result["lossy"], key=lambda row: (row["against"], row["tv_mean"])):
        name = f"**{row['name']}**" if row["name"] in result["frontier"] else row["name"]
        body.append([name, row["source"], row["against"], *_compared(row, row["tv_mean"])])
    return rows(heads, body, words=3) + "\n\nIn bold: on the frontier of speed and distance."


def _compared(row: Result, tv: float) -> list[str]:
    """The numbers of one rule."""
    return [
        "0" if tv < 1e-12 else f"{tv:.3f}",
        f"{row['acceptance']:.3f}",
        f"{100 * row['share']:.1f} %",
        f"{row['tokens']:.3f}",
        f"{100 * row['share_of_tokens']:.1f} %",
    ]


def _refuted(row: Result) -> str:
    """What refutes a claim, as a paragraph; nothing where the claim holds."""
    found = row["counterexample"]
    if found is None:
        return ""
    p, q = ", ".join(found["p"]), ", ".join(found["q"])
    return (
        f"\n\nThe smallest counterexample to *{row['name']}*: p = ({p}), q = ({q}), a draft of"
        f" {len(found['parents'])}, TV {found['tv']:.4f}."
    )


def serving(result: Result) -> str:
    """Throughput by requests at once, and where speculation of fixed depth stops paying."""
    one = result["batches"][0]["plain"]
    body = [
        [
            str(batch["size"]),
            f"{batch['speculative'] / batch['plain']:.2f}×",
            f"{batch['adaptive'] / batch['plain']:.2f}×",
            f"{batch['plain'] / one:.1f}×",
        ]
        for batch in result["batches"]
    ]
    heads = [
        "requests at once",
        f"speculative, depth {result['gamma']}, against plain",
        "adaptive depth against plain",
        "plain against one request",
    ]
    cross, hits = result["crossover_batch"], result["trace"]["prefix_hits"]["speculative"]
    said = "at no batch measured" if cross is None else f"from {cross} requests at once on"
    same = "the same tokens" if result["same_tokens"] else "**other tokens**"
    return (
        rows(heads, body)
        + f"\n\nSpeculation of fixed depth is slower than plain decoding {said}. Requests served"
        f" together got {same} as each alone in float64, {result['same_tokens_float32']} in"
        f" {result['settings']['dtype']}. {100 * hits:.0f} % of the trace's prompt tokens were"
        " found and not read."
    )


def serving_memory(result: Result) -> str:
    """Bytes held against bytes needed."""
    kept = result["memory"]
    return rows(
        ["cache", "MB", "of what is needed"],
        [
            [name, f"{kept[key] / 1e6:.1f}", f"{kept[key] / kept['needed']:.2f}×"]
            for name, key in (
                ("needed for the tokens that are there", "needed"),
                ("held in pages", "paged"),
                ("held in one stretch a row, long enough for the longest", "contiguous"),
            )
        ],
    )


def serving_latency(result: Result) -> str:
    """Of each way, in units of plain decoding's time a token with one request."""
    unit = result["batches"][0]["latency"]["plain"]["token_p50"]
    ways, keys = ("plain", "speculative", "adaptive"), ("first_token_p50", "token_p50", "token_p95")
    body = []
    for batch in result["batches"]:
        taken = [batch["latency"][way][key] for key in keys for way in ways]
        body.append([str(batch["size"]), *(f"{seconds / unit:.1f}" for seconds in taken)])
    heads = [
        "requests at once",
        *(f"{what}, {way}" for what in ("first token", "a token", "a token, p95") for way in ways),
    ]
    return (
        rows(heads, body)
        + "\n\nIn units of the median time of a token with one request and no speculation."
    )


def engine_matrix(level: str) -> Callable[[Result], str]:
    """Check by engine, of one level."""
    words = {
        "PASS": "pass",
        "FAIL": "**FAIL**",
        "INCONCLUSIVE": "few",
        "UNVERIFIED": "unseen",
        "UNSUPPORTED": "–",
        "LOSSY-BY-DESIGN": "lossy",
        "NOT-SPECULATION": "not speculation",
    }

    def verdicts(engine: dict[str, Any]) -> dict[str, str]:
        return {check["id"]: words[check["verdict"]] for check in engine["checks"]}

    def table_of(result: Result) -> str:
        found = [one for one in result["engines"] if one["level"] == level and one["checks"]]
        said = [verdicts(one) for one in found]
        names = list(dict.fromkeys(name for one in said for name in one))
        body = []
        for name in names:
            body.append([f"`{name}`", *(one.get(name, "") for one in said)])
        absent = [
            f"Not here: {one['engine']}, {cell(one['absent'])}."
            for one in result["engines"]
            if one["absent"]
        ]
        return "\n\n".join(
            [
                rows([f"{level} level", *(one["engine"] for one in found)], body, len(found) + 1),
                *absent,
            ]
        )

    return table_of


def engine_findings(result: Result) -> str:
    """Every failure, with what was seen and the command that shows it again."""
    return rows(
        ["engine", "check", "what was seen", "again"],
        [
            [one["engine"], f"`{check['id']}`", cell(check["what"]), f"`{check['repro']}`"]
            for one in result["engines"]
            for check in one["checks"]
            if check["verdict"] == "FAIL"
        ],
        words=4,
    )


def acceptance(result: Result) -> str:
    """Acceptance of the whole, of each position, domain and temperature."""
    named = [("all", result["alpha"])]
    named += [(f"position {i}", row) for i, row in enumerate(result["by_position"], 1)]
    named += [(f"domain {cell(str(row['name']))}", row) for row in result["by_domain"]]
    named += [(f"temperature {row['name']:g}", row) for row in result["by_temperature"]]
    body = []
    for name, row in named:
        low, high = row["interval"]
        shown = "–" if low is None else f"{low:.3f} to {high:.3f}"
        body.append(
            [name, str(row["units"]), f"{row['judged']:,}", f"{row['estimate']:.3f}", shown]
        )
    return rows(["of", f"{result['unit']}s", "judged", "acceptance", "95 % interval"], body)


def acceptance_by_unit(result: Result) -> str:
    """Acceptance of each text, the lowest first."""
    body = [
        [cell(str(row["name"])), f"{row['judged']:,}", f"{row['estimate']:.3f}"]
        for row in sorted(result["by_unit"], key=lambda row: row["estimate"])
    ]
    return rows([result["unit"], "judged", "acceptance"], body)


def sample_plan(result: Result) -> str:
    """The plan of a measurement, and whether simulated measurements keep it."""
    body = []
    for row in result["plan"]["simulated"]:
        shown = [f"{100 * row['met']:.1f} %", _percents(row["met_interval"])]
        shown += [f"{100 * row['covered']:.1f} %", _percents(row["covered_interval"])]
        body.append([cell(row["population"]), f"{row['texts']:,}", f"{row['runs']:,}", *shown])
    heads = ["population", "texts", "runs", "narrow enough", "95 % interval"]
    return rows([*heads, "true rate inside", "95 % interval"], body)


def _percents(interval: list[float]) -> str:
    return " to ".join(f"{100 * end:.1f}" for end in interval) + " %"


def decision(result: Result) -> str:
    """Each draft at each batch, with its best length."""
    body = []
    for row in result["rows"]:
        low, high = row["interval"]
        name = f"**{row['draft']}**" if row in result["best"] else row["draft"]
        shown = [f"{row['alpha']:.3f}", f"{row['c']:.3f}", str(row["gamma"])]
        shown += [f"{row['speedup']:.2f}×", f"{low:.2f} to {high:.2f}", row["pays"]]
        body.append([name, str(row["batch"]), *shown])
    heads = ["draft", "batch", "acceptance", "c", "best length", "predicted", "both ends", "pays"]
    return rows(heads, body)


def alpha_by_cost(result: Result) -> str:
    """The best predicted speedup by acceptance and cost of a draft step, with its length."""
    grid = result["grid"]
    cells = {(one["alpha"], one["c"]): one for one in grid["cells"]}
    body = []
    for alpha in grid["alphas"]:
        line = [cells[alpha, c] for c in grid["costs"]]
        body.append([f"{alpha:.1f}", *(f"{o['speedup']:.2f}× ({o['gamma']})" for o in line)])
    return rows(["acceptance", *(f"c = {c:g}" for c in grid["costs"])], body)


def best_draft(root: Path, key: str, form: str = "{}") -> str:
    """What the decision says of its best draft at the smallest batch, in the running text."""
    result = load(root, "plan")
    return wanting("plan") if result is None else form.format(result["best"][0][key])


def bug_tv(root: Path, name: str) -> str:
    """The exact TV of one planted bug, in the running text.

    Errors:
        LookupError for a bug that the zoo's result does not have.
    """
    result = load(root, "zoo")
    found = [bug for bug in result["bug_table"] if bug["name"] == name] if result else []
    if not found:
        raise LookupError(f"zoo.json has no bug {name}")
    return distance(found[0]["tv"])


TABLES: dict[tuple[str, str], Callable[[Result], str]] = {
    ("bench", ""): bench,
    ("bench", "curve"): curve,
    ("bench", "limits"): limits,
    ("bench", "block"): block,
    ("bench", "widths"): widths,
    ("measure", ""): acceptance,
    ("measure", "texts"): acceptance_by_unit,
    ("measure", "plan"): sample_plan,
    ("plan", ""): decision,
    ("plan", "grid"): alpha_by_cost,
    ("zoo", ""): zoo,
    ("zoo", "bugs"): zoo_bugs,
    ("zoo", "controls"): zoo_controls,
    ("zoo", "by_tv"): zoo_by_tv,
    ("zoo --level engine", "seconds"): zoo_seconds,
    ("zoo --level http", "seconds"): zoo_seconds,
    ("zoo --level kernel", "runs"): zoo_runs,
    ("mutation", ""): mutation,
    ("torture", ""): torture,
    ("mutation", "left"): mutation_left,
    ("betting", "validity"): betting_validity,
    ("betting", "detection"): betting_detection,
    ("betting", "mde"): betting_mde,
    ("engines", ""): engine_matrix("engine"),
    ("engines", "kernel"): engine_matrix("kernel"),
    ("engines", "findings"): engine_findings,
    ("profile medusa", ""): methods,
    ("profile medusa", "heads"): heads,
    ("profile thresholds", ""): thresholds,
    ("profile lookup", ""): lookups,
    ("rules", ""): rules,
    ("rules", "lossy"): lossy_rules,
    ("bench --serving", ""): serving,
    ("bench --serving", "memory"): serving_memory,
    ("bench --serving", "latency"): serving_latency,
}
