"""What the routes work with: the workspace, the models that may be named, the queue of work."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

from fastapi import Depends, Request

from rereader.config import Config
from rereader.memory.library import Library, Removed
from rereader.memory.runs import Run
from rereader.models.catalogue import load_catalogue
from rereader.models.installed import installed
from rereader.models.roles import EXTRACTIVE, HASHING, NONE, RoleNames
from rereader.models.runtimes import split_mark
from rereader.runs.fields import seen
from rereader.runs.session import Session
from rereader.schema import InputError
from rereader.server.jobs import Desk
from rereader.server.sessions import OneSession
from rereader.server.uploads import Uploads
from rereader.server.wanted import OpenSession, Wanted

_WITHOUT = frozenset({EXTRACTIVE, NONE, HASHING})


class Backend:
    """The server's state.

    ``listing`` is held by who puts a list of all runs together: that takes several times the memory of its text, which
    many at once would multiply, and none of them would be faster.

    Args:
        config: Workspace, folders and the usual graph.
        names: The models that the server was started with.
        open_session: Opens a session; called in the thread that works.
    """

    def __init__(self, config: Config, names: RoleNames, open_session: OpenSession) -> None:
        self.config = config
        self.names = names
        self.open_session = open_session
        self.library = Library(config.workspace, config.kv_bytes)
        self.folders = config.private_folders
        self.desk = Desk(open_session, self.folders)
        self.uploads = Uploads()
        self.listing = threading.Lock()
        self._looking = OneSession(open_session)
        self._look = threading.Lock()

    def run(self, run_id: str) -> Run:
        """A run with its true status, by its id or the beginning of it.

        Raises:
            NotThere: If there is none.
        """
        return seen(self.library, self.library.runs.get(run_id))

    def remove(self, document: str) -> Removed:
        """Delete a document and all that was derived from it.

        It waits for whoever writes, and so has a connection of its own: the others go on reading meanwhile.

        Raises:
            InputError: If there is no such document, or it is being worked on.
            Busy: If another one writes for too long.
        """
        with Library(self.config.workspace, self.config.kv_bytes) as library:
            return library.remove(library.documents.get(document).id)

    def pulled(self) -> list[str]:
        """Names of the models that were pulled."""
        return [model.name for model in installed(self.config.models_dir) if model.manifest.kind != "document"]

    def check_models(self, named: Mapping[str, str]) -> None:
        """Refuse a model that a request may not name: a path, an endpoint, one that was not pulled.

        Raises:
            InputError: If one of them is such.
        """
        started = set(asdict(self.names).values())
        pulled = set(self.pulled())
        for role, name in named.items():
            plain = split_mark(name)[0]
            entry = next((one for one in load_catalogue().entry if plain in (one.name, one.alias)), None)
            if name in started or name in _WITHOUT or (entry is not None and entry.name in pulled):
                continue
            msg = f"The model {name!r} cannot be named as the {role} in a request."
            raise InputError(msg, "Name one that was pulled, or start the server with it.")

    @contextmanager
    def looking(self, wanted: Wanted) -> Iterator[Session]:
        """A session to estimate with, which never loads a model; one request at a time has it."""
        with self._look:
            yield self._looking.open(wanted)

    def close(self) -> None:
        """Stop the work and close the workspace."""
        self.desk.close()
        with self._look:
            self._looking.close()
        self.library.close()


def _backend(request: Request) -> Backend:
    backend = request.app.state.backend
    assert isinstance(backend, Backend)
    return backend


Served = Annotated[Backend, Depends(_backend)]
"""The server's state, as a route's parameter."""
