"""The process that runs llama.cpp: reads jobs as JSON lines, writes one line per token.

A process of its own, because llama.cpp prints, aborts on errors and cannot be unloaded for certain; it ends when its
standard input does. The server inside insists on a listener: it gets a socket in a private folder, under a random
key, and the socket is removed as soon as the model is loaded, so that nothing can connect. Jobs do not pass through it.

Tokens are asked for one by one. Only so are their ids exact: the server holds back tokens that end inside a
character. For this the server is made to pick a harmless token, and the token that counts is read off the logits'
own ranking, which a forced choice does not change.
"""

from __future__ import annotations

import json
import math
import os
import queue
import random
import secrets
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

FORCE = 1e6
"""Added to a logit, it makes the server pick that token."""
SAMPLED_FROM = 1000
"""Sampling draws from so many most likely tokens."""
_Ranked = list[tuple[int, float]]


class Stopped(Exception):
    """The parent asked to stop this job."""


class Failed(Exception):
    """The server refused a request."""


class Jobs:
    """Jobs from standard input, and which of them to stop; ends the process with the input."""

    def __init__(self, stream: BinaryIO) -> None:
        self._waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._stopped = -1
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def next(self) -> dict[str, Any]:
        """Wait for the next job."""
        return self._waiting.get()

    def is_stopped(self, job: int) -> bool:
        """Whether this job is to end."""
        return job <= self._stopped

    def _read(self, stream: BinaryIO) -> None:
        for line in stream:
            message = json.loads(line)
            if "stop" in message:
                self._stopped = message["stop"]
            else:
                self._waiting.put(message)
        os._exit(0)


class Engine:
    """The model, asked for one token at a time.

    Args:
        server: xllamacpp's server.
        harmless: A token that is a whole character.
        vocabulary: Number of tokens that the model knows.
    """

    def __init__(self, server: Any, harmless: int, vocabulary: int) -> None:
        self._server = server
        self._harmless = harmless
        self._vocabulary = vocabulary
        self.usage: dict[str, Any] = {}

    def ranked(self, ids: Sequence[int], count: int, stopped: Any) -> _Ranked:
        """The ``count`` most likely tokens after ``ids`` with their log-probabilities, best first."""
        content = self._ask(ids, self._harmless, count, stopped)
        if content is None:
            raise Failed("it gave no log-probabilities")
        return [(entry["id"], entry["logprob"]) for entry in content["top_logprobs"]]

    def logprob(self, ids: Sequence[int], token: int, stopped: Any) -> float:
        """The log-probability of ``token`` after ``ids``."""
        content = self._ask(ids, token, 1, stopped)
        if content is not None and content["id"] == token:
            return float(content["logprob"])
        # The token ends inside a character, and the server keeps such tokens back: look it up in the whole ranking.
        return dict(self.ranked(ids, self._vocabulary, stopped))[token]

    def _ask(self, ids: Sequence[int], token: int, count: int, stopped: Any) -> dict[str, Any] | None:
        chunks: list[dict[str, Any]] = []

        def take(chunk: dict[str, Any]) -> bool:
            chunks.append(chunk)
            return bool(stopped())

        request = {"prompt": list(ids), "n_predict": 1, "temperature": 0, "n_probs": count, "cache_prompt": True}
        request |= {"logit_bias": [[token, FORCE]], "stream": True, "return_progress": True}
        self._server.handle_completions(request, take)
        if stopped():
            raise Stopped
        return self._content(chunks)

    def _content(self, chunks: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
        found = None
        for chunk in chunks:
            if "error" in chunk or "choices" not in chunk:
                raise Failed(str(chunk.get("error", chunk).get("message", chunk)))
            self.usage = chunk.get("usage") or self.usage
            logprobs = chunk["choices"][0].get("logprobs")
            if logprobs and logprobs["content"]:
                found = logprobs["content"][0]
        return found


def write(engine: Engine, job: dict[str, Any], jobs: Jobs, out: BinaryIO) -> None:
    """Write tokens until one of ``ends``, or ``most`` of them; a line for each."""
    ids, generator = list(job["prompt"]), random.Random(job["seed"])
    hot = job["temperature"] > 0
    for place in range(job["most"]):
        ranked = engine.ranked(ids, SAMPLED_FROM if hot else 1, lambda: jobs.is_stopped(job["id"]))
        token, logprob = draw(ranked, job["temperature"], generator.random()) if hot else ranked[0]
        if place == 0:
            job["read"] = engine.usage
        send(out, {"id": job["id"], "token": token, "logprob": logprob})
        if token in job["ends"]:
            return
        ids.append(token)


def score(engine: Engine, job: dict[str, Any], jobs: Jobs, out: BinaryIO) -> None:
    """Log-probability of each continuation after the prompt, as one line."""
    values = []
    for continuation in job["continuations"]:
        ids, total = list(job["prompt"]), 0.0
        for token in continuation:
            total += engine.logprob(ids, token, lambda: jobs.is_stopped(job["id"]))
            job.setdefault("read", engine.usage)
            ids.append(token)
        values.append(total)
    send(out, {"id": job["id"], "values": values})


def draw(ranked: _Ranked, temperature: float, drawn: float) -> tuple[int, float]:
    """Sample by inverting the cumulative distribution; ``drawn`` is uniform in [0, 1)."""
    best = ranked[0][1]
    weights = [math.exp((logprob - best) / temperature) for _, logprob in ranked]
    aim = drawn * math.fsum(weights)
    for entry, weight in zip(ranked, weights, strict=True):
        aim -= weight
        if aim < 0:
            return entry
    return ranked[-1]


def send(out: BinaryIO, message: dict[str, Any]) -> None:
    """Write one line."""
    out.write(json.dumps(message).encode() + b"\n")
    out.flush()


def load(settings: dict[str, Any]) -> Any:
    """Start xllamacpp's server with its socket removed."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.n_ctx = settings["context"]
    params.n_parallel = 1
    params.n_batch = params.n_ubatch = settings["batch"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["threads"]
    params.n_gpu_layers = 0
    params.cache_ram_mib = settings["cache_mib"]
    params.fit_params = params.warmup = params.ui = params.endpoint_slots = False
    if settings["exact"]:
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.verbosity = 1
    params.api_keys = [secrets.token_hex(32)]
    # Python's own sockets on Windows have no files either: there the listener stays on loopback, behind the key.
    if sys.platform == "win32":
        params.hostnames = ["127.0.0.1"]
        return xllamacpp.Server(params)
    with tempfile.TemporaryDirectory(prefix="rereader-") as private:
        socket = Path(private) / "llama.sock"
        params.hostnames = [str(socket)]
        server = xllamacpp.Server(params)
        socket.unlink(missing_ok=True)
    return server


def main() -> None:
    """Load what the first line names, then do the jobs of the following lines."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what llama.cpp prints must not mix with our lines
    settings = json.loads(sys.stdin.buffer.readline())
    jobs = Jobs(sys.stdin.buffer)
    engine = Engine(load(settings), settings["harmless"], settings["vocabulary"])
    send(out, {"ready": True})
    while True:
        job = jobs.next()
        try:
            (write if job["do"] == "write" else score)(engine, job, jobs, out)
            send(out, {"id": job["id"], "done": job.get("read", {})})
        except Stopped:
            send(out, {"id": job["id"], "done": job.get("read", {}), "stopped": True})
        except Failed as error:
            send(out, {"id": job["id"], "error": str(error)})


if __name__ == "__main__":
    main()
