"""What takes care of a workspace is killed before some access to it, run again, and comes to the same as unharmed.

At length: REREADER_KILLS=200 pytest tests/soak/test_care_kills.py
"""

import os
import random
import shutil
import sqlite3
from contextlib import closing

import pytest

from rereader.memory.care.backup import backup, check
from rereader.memory.care.depth import Meter, unheard
from rereader.memory.library import Library
from rereader.testing.sessions import scripted_session
from rereader.testing.soak.children import Moment
from rereader.testing.soak.snapshots import kept, opened_copy
from rereader.testing.texts import essay, plant

KILLS = int(os.environ.get("REREADER_KILLS", "2"))
BLOCKS = {"gist": "extract", "reads": "kv", "chunk_tokens": 60, "decline_below": 0}
DAMAGE = (
    "DROP INDEX vectors_by_chunk",
    "DROP TABLE fulltext_1",
    "DELETE FROM vectors WHERE space = 1 AND ordinal = 3",
    "UPDATE calls SET reply = x'7b' WHERE method = 'embed'",
    "UPDATE chunks SET start = start + 1 WHERE chunking = 2 AND ordinal = 1",
    "UPDATE documents SET length = length + 1",
    "CREATE VIRTUAL TABLE fulltext_77 USING fts5(text, content='')",
)
COMMANDS = {
    "repair": ["doctor", "--repair", "--json"],
    "gc": ["gc", "--keep-last", "1", "--drop", "calls", "--drop", "blocks", "--yes"],
    "backup": ["backup", "all.zip", "--replace"],
    "restore": ["restore", "all.zip", "--replace"],
}


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """A workspace with three runs, and a backup of it, in a folder."""
    folder = tmp_path_factory.mktemp("used")
    session = scripted_session(folder / "ws")
    text = plant(essay(5, 120), ["The mill was sold in 1822."])
    document = session.library.documents.add(text, title="essay", source="e", loader="text/1")
    for graph, settings in (("compressed-memory", BLOCKS), ("retrieval", {}), ("retrieval", {"evidence_words": 40})):
        session.ask("When was the mill sold?", [document.id], graph=graph, settings=settings)
    backup(session.library, folder / "all.zip", unheard)
    session.close()
    return folder


def make(used, folder, verb):
    shutil.copytree(used, folder)
    if verb == "repair":
        with closing(sqlite3.connect(folder / "ws" / "library.db", isolation_level=None)) as connection:
            for statement in DAMAGE:
                connection.execute(statement)
        sorted(folder.glob("ws/index/*.faiss"))[-1].write_bytes(b"x")
        sorted(folder.glob("ws/kv/??/*"))[0].write_bytes(b"x")


def state(folder):
    """What a workspace has come to, and its files."""
    with opened_copy(folder / "ws") as library:
        tables = {row[0] for row in library.database.rows("SELECT name FROM sqlite_master")}
        rows = kept(library)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return rows, tables, {name for name in files if not name.endswith((".lock", "-wal", "-shm"))}


def arguments(folder, verb):
    named = [str(folder / part) if part == "all.zip" else part for part in COMMANDS[verb]]
    return [*named, "--workspace", str(folder / "ws")]


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_kill_changes_nothing_of_what_it_comes_to(used, children, tmp_path, verb):
    make(used, tmp_path / "whole", verb)
    whole = children.run(arguments(tmp_path / "whole", verb))
    assert whole.code == 0, whole.err
    wanted, killed = state(tmp_path / "whole"), 0
    for access in random.Random(3).sample(range(1, whole.accesses), min(KILLS, whole.accesses - 1)):
        folder = tmp_path / str(access)
        make(used, folder, verb)
        killed += children.run(arguments(folder, verb), Moment(access=access)).killed
        if verb == "backup":
            check(folder / "all.zip", Meter("check", 0, unheard))  # the old one or the new one
        if (folder / "ws").exists():
            Library(folder / "ws").close()
        for block in folder.glob("ws/kv/??/*"):
            os.utime(block, (0, 0))  # one without a row is somebody's for an hour
        again = children.run(arguments(folder, verb))
        assert again.code == 0, (access, again.out, again.err)
        if verb == "backup":
            check(folder / "all.zip", Meter("check", 0, unheard))
            for part in folder.glob("*.part"):
                part.unlink()  # beside the file, where only its user looks
        assert state(folder) == wanted, access
        shutil.rmtree(folder)
    assert killed >= min(KILLS, whole.accesses - 1)
