"""The one session that work is done with; one with other models takes its place."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict

from rereader.config import Config
from rereader.models.roles import RoleNames
from rereader.runs.session import Session, open_session
from rereader.server.wanted import OpenSession, Wanted


def session_opener(
    config: Config, names: RoleNames, runtime: str | None = None, warnings: Sequence[str] = ()
) -> OpenSession:
    """What opens sessions on a workspace, with real models.

    Args:
        config: The configuration.
        names: The models that the server was started with.
        runtime: What runs them; ``None`` leaves that to the configuration.
        warnings: Said with every answer of theirs.
    """

    def opened(wanted: Wanted) -> AbstractContextManager[Session]:
        return open_session(
            config.workspace,
            names=wanted.names,
            models_dir=config.models_dir,
            # A stored run marks the names of models that something else runs than transformers.
            runtime="transformers" if wanted.stored else runtime,
            warnings=warnings if wanted.names == names else (),
            counted_by=wanted.counted_by,
        )

    return opened


_Used = tuple[dict[str, str], tuple[str, ...]]
"""The models of a session as a run keeps them, and the warnings that it says."""


class OneSession:
    """Holds a session open for the next piece of work. Used by one thread at a time."""

    def __init__(self, open_session: OpenSession) -> None:
        self._open_session = open_session
        self._held = ExitStack()
        self._session: Session | None = None
        self._wanted: Wanted | None = None
        self._came_to: dict[Wanted, _Used] = {}

    def open(self, wanted: Wanted) -> Session:
        """A session with these models: the one that is open, if it has them.

        Raises:
            RereaderError: If it cannot be opened; then none is open.
        """
        if self._session is not None and self._fits(self._session, wanted):
            return self._session
        self.close()
        self._session = self._held.enter_context(self._open_session(wanted))
        self._wanted = wanted
        self._came_to[wanted] = _used(self._session)
        return self._session

    def close(self) -> None:
        """Let go of the models."""
        self._session = self._wanted = None
        self._held.close()

    def _fits(self, session: Session, wanted: Wanted) -> bool:
        """Whether the session that is open does what another one with these models would.

        What runs a model that a stored run does not name is known once it was opened; such a one says warnings, too.
        """
        if self._wanted is None or wanted.counted_by != self._wanted.counted_by:
            return wanted == self._wanted
        if wanted.stored:
            return session.models.describe() == asdict(wanted.names)
        return wanted == self._wanted or self._came_to.get(wanted) == _used(session)


def _used(session: Session) -> _Used:
    return session.models.describe(), session.warnings
