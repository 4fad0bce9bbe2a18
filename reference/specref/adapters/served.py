"""A server that loads checkpoints, judged as an engine: it is started on the judge's own models, so
that everything an engine is asked is asked of it too, exactly where an engine is asked exactly.

A subclass says how the server is started:

    class Mine(ServedEngine):
        name = "mine"
        def command(self, target, draft, port):
            return ["my-server", str(target), "--port", str(port), *drafting(draft)]

    specref validate my_adapter.py:Mine --budget 900

Two servers are started for each model, one that speculates and one that does not. They speak
OpenAI's `/v1/completions`, take and give token ids as vLLM does (`return_token_ids`), and find a
tokenizer.json beside each checkpoint, so that stops are text. Counts are `metrics` of an answer, as
`specref serve` gives them; a server of other words overrides `read`.
"""

import atexit
import http.client
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from specref.judge.contract import CAPABILITIES, Completion, Engine, Metrics, SamplingParams

SENT_TOGETHER = 16  # requests of a call that are sent together


class Running:
    """A server process on a free port of this machine; `wait` until it answers.

    Args:
        command: port -> what starts it. log: what it prints goes there.
    """

    def __init__(self, name: str, command: Any, log: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.name, self.log, self.threads = name, log, threading.local()
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                command(self.port), stdout=file, stderr=file, stdin=subprocess.DEVNULL
            )

    def wait(self, seconds: float = 60) -> None:
        """Until it answers `/health`.

        Errors:
            RuntimeError where it does not in that time.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        lines = self.log.read_text(errors="replace").splitlines()
        said = [line for line in lines if "error" in line.lower()] or lines
        self.stop()
        why = " ".join(said[-2:]) or f"no answer in {seconds:.0f} s"
        raise RuntimeError(f"{self.name} does not start: {why}")

    def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST, over a connection that each thread keeps.

        Errors:
            RuntimeError for an answer that is no success.
        """
        connection = getattr(self.threads, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=100)
            self.threads.connection = connection
        headers = {"Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        said = json.loads(answer.read())
        if answer.status != 200:
            message = said.get("error", {}).get("message", said)
            raise RuntimeError(f"{self.name} answers {answer.status}: {message}")
        return said

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class ServedEngine(Engine):
    """Two servers of one target, with speculation and without it."""

    name = "server"
    supports = CAPABILITIES
    path = "/v1/completions"

    def command(self, target: Path, draft: Path | None, port: int) -> list[str]:
        """What starts a server on 127.0.0.1.

        Args:
            target: a checkpoint in Hugging Face's Llama layout, with a tokenizer.json. draft: the
                same of the draft model; None: a server without speculation.
        """
        raise NotImplementedError

    def plain_command(self, target: Path, port: int) -> list[str]:
        """What starts the server without speculation."""
        return self.command(target, None, port)

    def __init__(self, target: Path, draft: Path | None):
        if draft is None and not self.own_draft:
            raise ValueError("this server needs a draft model")
        self.folder = tempfile.TemporaryDirectory(prefix="specref-served-")
        atexit.register(self.close)
        root = Path(self.folder.name)
        models = {"target": target} | ({} if draft is None else {"draft": draft})
        for name, checkpoint in models.items():
            shutil.copytree(checkpoint, root / name)
            write_tokenizer(root / name)
        drafts = None if draft is None else root / "draft"
        self.plain = Running(
            self.name, lambda port: self.plain_command(root / "target", port), root / "plain.log"
        )
        self.speculating = Running(
            self.name,
            lambda port: self.command(root / "target", drafts, port),
            root / "speculating.log",
        )
        for server in (self.plain, self.speculating):
            server.wait()

    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams | list[SamplingParams],
        *,
        speculative: bool,
    ) -> list[Completion]:
        each = [params] * len(prompts) if isinstance(params, SamplingParams) else params
        server = self.speculating if speculative else self.plain

        def ask(prompt: list[int], its: SamplingParams) -> Completion:
            return self.read(server.ask(self.path, self.body(prompt, its)))

        with ThreadPoolExecutor(SENT_TOGETHER) as pool:
            return list(pool.map(ask, prompts, each))

    def body(self, prompt: list[int], params: SamplingParams) -> dict[str, Any]:
        """A request. The contract's stop ids hold the end token, so `ignore_eos` is set."""
        body: dict[str, Any] = {
            "prompt": prompt,
            "max_tokens": params.max_new_tokens,
            "temperature": params.temperature,
            "top_k": params.top_k,
            "top_p": params.top_p,
            "min_p": params.min_p,
            "repetition_penalty": params.repetition_penalty,
            "presence_penalty": params.presence_penalty,
            "frequency_penalty": params.frequency_penalty,
            "min_tokens": params.min_tokens,
            "logprobs": 0,
            "return_token_ids": True,
            "ignore_eos": True,
        }
        if params.seed is not None:
            body["seed"] = params.seed
        if params.stop_ids:
            body["stop_token_ids"] = list(params.stop_ids)
        if params.logit_bias:
            body["logit_bias"] = {str(token): bias for token, bias in params.logit_bias.items()}
        if params.stop_sequences:
            body["stop"] = ["".join(map(word, stop)) for stop in params.stop_sequences]
        return body

    def read(self, said: dict[str, Any]) -> Completion:
        """What an answer says."""
        choice, counts = said["choices"][0], said.get("metrics")
        metrics = None
        if counts is not None:
            metrics = Metrics(counts["target_steps"], counts["drafted"], counts["accepted"])
        return Completion(
            choice["token_ids"],
            choice["finish_reason"],
            choice["logprobs"]["token_logprobs"],
            metrics,
        )

    def close(self) -> None:
        for server in ("plain", "speculating"):
            if hasattr(self, server):
                getattr(self, server).stop()
        self.folder.cleanup()


class SpecrefServe(ServedEngine):
    """`specref serve` with a draft model."""

    name = "specref serve"
    draft_tokens = 3

    def command(self, target: Path, draft: Path | None, port: int) -> list[str]:
        words = [sys.executable, "-m", "specref", "serve", "--target", str(target)]
        drafts = ["--drafter", "none"]
        if draft is not None:
            drafts = ["--draft", str(draft), "--gamma", str(self.draft_tokens)]
        sizes = ["--rows", "16", "--block-size", "4", "--chunk", "8", "--threads", "1"]
        return [*words, *drafts, *sizes, "--port", str(port)]


class SpecrefServeNGram(SpecrefServe):
    """`specref serve` with n-gram lookup."""

    name, own_draft = "specref serve: n-gram", True

    def command(self, target: Path, draft: Path | None, port: int) -> list[str]:
        words = self.plain_command(target, port)
        words[words.index("none")] = "ngram"
        return [*words, "--gamma", str(self.draft_tokens)]

    def plain_command(self, target: Path, port: int) -> list[str]:
        return super().command(target, None, port)


def word(token: int) -> str:
    """How a token is written. Stops are looked for in the text: no token may begin inside another,
    or end there.
    """
    return f"({token})"


def write_tokenizer(checkpoint: Path) -> None:
    """A tokenizer.json in which every id is one word, and a text is the words without spaces."""
    vocabulary = json.loads((checkpoint / "config.json").read_text())["vocab_size"]
    words = {word(token): token for token in range(vocabulary)}
    split = {
        "type": "Split",
        "pattern": {"Regex": r"\([0-9]+\)"},
        "behavior": "Isolated",
        "invert": False,
    }
    whole: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": split,
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": words, "unk_token": word(0)},
    }
    (checkpoint / "tokenizer.json").write_text(json.dumps(whole))
