"""`langgraph dev` serves our graphs over HTTP, offline and without a key."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from rereader.runs.session import open_session
from rereader.schema import Answer

SECONDS_TO_START = 120
CONFIG = """
model = "extractive"
roles = { embedder = "hashing", gister = "none", scorer = "none" }
"""


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A running server."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.log = process, log
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """GET, or POST a JSON body; the JSON reply."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)

    def wait(self) -> None:
        """Return as soon as the server answers."""
        end = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < end and self.process.poll() is None:
            try:
                self.ask("/ok")
                return
            except OSError:
                time.sleep(0.2)
        pytest.fail(f"the server did not start:\n{self.log.read_text()[-4000:]}")


@contextmanager
def serving(root: Path, folder: Path, environment: dict[str, str]) -> Iterator[Server]:
    """Serve langgraph.json of the checkout; the server's own files go to ``folder``."""
    port, log = free_port(), folder / "log"
    command = [Path(sys.executable).parent / "langgraph", "dev", "--no-browser", "--no-reload", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--config", root / "langgraph.json"],
            cwd=folder,
            env=os.environ | environment | {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "false"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(process, port, log)
    try:
        server.wait()
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def book(seed: int) -> tuple[str, str]:
    """A text of some thousand words that says one thing once, and that sentence."""
    random = Random(seed)
    words = [
        "garden",
        "river",
        "lamp",
        "winter",
        "kettle",
        "harbour",
        "window",
        "evening",
        "letter",
        "road",
        "stone",
        "market",
    ]
    sentences = [" ".join(random.choices(words, k=9)).capitalize() + "." for _ in range(400)]
    fact = f"The lighthouse keeper was called Ottilie{seed}."
    sentences.insert(random.randrange(len(sentences)), fact)
    return "\n\n".join(" ".join(sentences[at : at + 5]) for at in range(0, len(sentences), 5)), fact


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_graphs_are_served_and_answer(
    root: Path, tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    monkeypatch.setenv("REREADER_CONFIG", str(config))
    monkeypatch.setenv("REREADER_MODELS", str(tmp_path))
    text, fact = book(Random().randrange(1000, 9999))
    with open_session() as session:
        document = session.add_text(text, title="Harbour", source="harbour.txt")

    with serving(root, tmp_path, {}) as server:
        named = json.loads((root / "langgraph.json").read_text())["graphs"]
        assert {one["graph_id"] for one in server.ask("/assistants/search", {})} == set(named)

        question = {"question": "What was the lighthouse keeper called?", "document_ids": [document.id]}
        for graph in ("retrieval", "compressed_memory"):
            reply = server.ask("/runs/wait", {"assistant_id": graph, "input": question})
            answer = Answer.model_validate(reply["answer"])
            assert answer.graph == graph.replace("_", "-")
            assert any(fact in one.quote for one in answer.evidence if one.verified)
            assert all(text[one.start : one.end] == one.quote for one in answer.evidence)
