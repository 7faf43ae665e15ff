"""Several processes at work on one workspace: they add, ask and serve, and nobody may notice the others."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rereader.memory.library import Library
from rereader.testing.soak.cases import QUESTION, document_text
from rereader.testing.soak.children import Children, Ended
from rereader.testing.soak.server import serve
from rereader.testing.soak.snapshots import problems
from rereader.testing.soak.visitors import Crowd, Visits, percentiles

_GOOD = (0, 4)
_READERS = 4
_SENTENCES = 150
_ROUND_SECONDS = 300.0


@dataclass
class Meeting:
    """What came of it.

    Args:
        seconds: How long each command took, by its kind.
        faults: What users were told that they should not have been, and what is wrong with the workspace.
        visits: What the readers of the server saw.
        named: How often a document was named to ``add`` and ``ask``, all processes together.
        texts: The texts of those documents, and of the one that is there at the beginning.
        kept: Documents that the workspace holds.
        gists_asked: Requests for a gist that reached the model.
        gists_kept: Gists that the workspace holds.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    visits: Visits = field(default_factory=Visits)
    named: int = 0
    texts: set[str] = field(default_factory=set)
    kept: int = 0
    gists_asked: int = 0
    gists_kept: int = 0

    def told(self) -> dict[str, Any]:
        """In figures, JSON-plain."""
        return {
            "commands": {kind: percentiles(found) for kind, found in self.seconds.items()},
            "requests": self.visits.latency(),
            "documents_named": self.named,
            "documents_kept": self.kept,
            "gists_asked": self.gists_asked,
            "gists_kept": self.gists_kept,
            "faults": self.faults[:20],
        }


@dataclass(frozen=True)
class Place:
    """Where processes meet.

    Args:
        main: The command line as ``module:function``.
        folder: Where everything lies.
        models: Options that name the models.
        variables: Variables of the processes.
    """

    main: str
    folder: Path
    models: Sequence[str]
    variables: Mapping[str, str]

    @property
    def workspace(self) -> Path:
        """The workspace of all of them."""
        return self.folder / "workspace"


def meet(place: Place, seconds: float, processes: int, seed: int, gists_asked: Callable[[], int]) -> Meeting:
    """Let a server and ``processes - 1`` others work on one workspace for so many seconds.

    Every round each of the others adds a document or asks about it. The document of a round is the same for all, so
    that they come for it together; only one of them may make its memories, which ``gists_asked`` counts at the model.
    """
    meeting = Meeting()
    text = document_text(_SENTENCES)
    meeting.texts.add(text)
    with Library(place.workspace) as library:
        first = library.documents.add(text, title="first.txt", source="first.txt", loader="text/1").id
    rounds = threading.Barrier(processes - 1)
    with serve(place.workspace, place.models, place.variables, place.folder) as server:
        until = time.monotonic() + seconds
        workers = [_Worker(place, number, seed, rounds, until, meeting) for number in range(processes - 1)]
        for worker in workers:
            worker.start()
        crowd = Crowd(_READERS, 1, QUESTION, (first,), reading_pause=0.2, asking_pause=2.0)
        meeting.visits = crowd.visit(server, seconds)
        for worker in workers:
            worker.join()
    meeting.faults += meeting.visits.errors
    meeting.gists_asked = gists_asked()
    _look(place, meeting)
    if meeting.gists_asked != meeting.gists_kept:
        meeting.faults.append(f"{meeting.gists_asked} gists were asked for, {meeting.gists_kept} are kept")
    return meeting


class _Worker(threading.Thread):
    """One process that runs a command a round."""

    def __init__(
        self, place: Place, number: int, seed: int, rounds: threading.Barrier, until: float, meeting: Meeting
    ) -> None:
        super().__init__(name=f"soak-{number}", daemon=True)
        self._place, self._number, self._rounds, self._until, self._meeting = place, number, rounds, until, meeting
        self._rng = random.Random(f"{seed} {number}")

    def run(self) -> None:
        """Work until the time is over; whoever sees that first ends it for all."""
        folder = self._place.folder / f"worker-{self._number}"
        with Children(self._place.main, folder, self._place.variables) as children:
            turn = 0
            try:
                while not turn or time.monotonic() < self._until:
                    self._rounds.wait(_ROUND_SECONDS)
                    self._work(children, folder, turn)
                    turn += 1
            except threading.BrokenBarrierError:
                pass
            finally:
                self._rounds.abort()

    def _work(self, children: Children, folder: Path, turn: int) -> None:
        document = folder / f"document-{turn}.txt"
        text = document_text(_SENTENCES, seed=100 + turn)
        self._meeting.texts.add(text)
        document.write_text(text, encoding="utf-8")
        kind = "add" if self._rng.random() < 0.4 else "ask"
        common = [
            "--gist",
            "model",
            *self._place.models,
            "--workspace",
            str(self._place.workspace),
            "--json",
            "--quiet",
        ]
        if kind == "add":
            ended = children.run(["add", str(document), *common])
        else:
            ended = children.run(["ask", str(document), QUESTION, "--graph", "compressed-memory", *common])
        document.unlink()
        self._note(kind, ended)

    def _note(self, kind: str, ended: Ended) -> None:
        self._meeting.seconds.setdefault(kind, []).append(ended.seconds)
        self._meeting.named += 1
        said = ended.err.strip()
        if ended.code not in _GOOD or "busy" in said:
            self._meeting.faults.append(f"{kind}: exit code {ended.code}: {said[-300:]}")


def _look(place: Place, meeting: Meeting) -> None:
    """Count what the workspace holds, and see that it is whole."""
    with Library(place.workspace) as library:
        meeting.faults += problems(library)
        documents = library.documents.all()
        meeting.kept = len(documents)
        texts = [library.documents.slice(document.id, 0, document.length) for document in documents]
        meeting.faults += [f"a text is kept {count} times" for count in Counter(texts).values() if count > 1]
        for fault, strange in (("lost", meeting.texts - {*texts}), ("not anybody's", {*texts} - meeting.texts)):
            if strange:
                meeting.faults.append(f"{len(strange)} texts are {fault}")
        row = library.database.row("SELECT COUNT(*) FROM gists")
        meeting.gists_kept = int(row[0]) if row else 0
