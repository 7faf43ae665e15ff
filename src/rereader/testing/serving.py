"""A server with scripted models on a free port of this machine: for tests in a browser and for demonstrations."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rereader.config import Config
from rereader.models.base import Cancel, Float32Array, Generation, Prompt, Sampling
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models, RoleNames
from rereader.models.scripted import ScriptedModel
from rereader.runs.session import Session
from rereader.server.backend import Backend
from rereader.server.listening import Server, listen
from rereader.server.wanted import Wanted
from rereader.testing.sessions import quoting_reply, scripted_models, scripted_session

NAMES = RoleNames(reader="reader", gister="gister", scorer="scorer", embedder="hashing")
_STARTING_SECONDS = 30.0


class SlowModel(ScriptedModel):
    """A scripted model that takes its time: so many seconds for each prompt, unless it is told to stop."""

    seconds = 0.0

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, cancel: Cancel | None = None) -> list[Generation]:
        """Reply to each prompt, in order."""
        found: list[Generation] = []
        for prompt in prompts:
            self._wait(cancel)
            found += super().generate([prompt], sampling, cancel)
        return found

    def choose(
        self,
        prompts: Sequence[Prompt],
        options: Sequence[str],
        null: Prompt | None = None,
        cancel: Cancel | None = None,
    ) -> Float32Array:
        """Log-probability of each option: float32 [n, k]."""
        for _ in prompts:
            self._wait(cancel)
        return super().choose(prompts, options, null, cancel)

    def _wait(self, cancel: Cancel | None) -> None:
        if cancel is None:
            time.sleep(self.seconds)
        else:
            cancel.wait(self.seconds)


@dataclass(frozen=True)
class Served:
    """A server that runs: its address without and with the key, and what it serves."""

    url: str
    token: str
    entrance: str
    backend: Backend


def slow_models(seconds: float) -> Models:
    """Scripted models that take so many seconds for each prompt."""
    reader = SlowModel(quoting_reply, name="reader", attends=True)
    gister = SlowModel(lambda prompt: "A gist.", name="gister")
    scorer = SlowModel(lambda prompt: "A", name="scorer", attends=True)
    for model in (reader, gister, scorer):
        model.seconds = seconds
    return Models(reader=reader, gister=gister, scorer=scorer, embedder=HashingEmbedder())


def scripted_backend(workspace: Path, *, seconds: float = 0.0, models_dir: Path | None = None) -> Backend:
    """The state of a server with scripted models.

    Args:
        workspace: The folder of the library.
        seconds: How long a model takes for each prompt.
        models_dir: Where pulled models lie; by default a folder that is not there.
    """
    config = Config(workspace=workspace, models_dir=models_dir or workspace / "none", graphs_dir=workspace / "none")

    @contextmanager
    def open_session(_wanted: Wanted) -> Iterator[Session]:
        models = slow_models(seconds) if seconds else scripted_models()
        with closing(scripted_session(workspace, models)) as session:
            yield session

    return Backend(config, NAMES, open_session)


@contextmanager
def serving(workspace: Path, *, seconds: float = 0.0, port: int = 0) -> Iterator[Served]:
    """Serve a workspace with scripted models in a thread of this process.

    Args:
        workspace: The folder of the library.
        seconds: How long a model takes for each prompt, so that a run can be watched.
        port: The port; any that is free by default.

    Example:
        >>> with serving(folder, seconds=0.2) as served:  # doctest: +SKIP
        ...     browser.goto(served.entrance)
    """
    backend = scripted_backend(workspace, seconds=seconds)
    listening = listen("127.0.0.1", port, secrets.token_urlsafe(24))
    server = Server(backend, listening)
    thread = threading.Thread(target=server.serve_until_stopped, name="rereader-serve")
    thread.start()
    try:
        _wait_for(server, thread)
        yield Served(listening.url.partition("/?")[0], listening.rules.token, listening.url, backend)
    finally:
        server.stop()
        thread.join()


def _wait_for(server: Server, thread: threading.Thread) -> None:
    """Wait until the server answers.

    Raises:
        RuntimeError: If it does not.
    """
    until = time.monotonic() + _STARTING_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > until:
            raise RuntimeError("The server did not start.")
        time.sleep(0.01)
