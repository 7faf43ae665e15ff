"""Places of a document: stored with it, found by offset, removed with it; older libraries get the table."""

import sqlite3
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.memory.library import Library
from rereader.memory.migrations import MIGRATIONS
from rereader.schema import Place


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "ws") as opened:
        yield opened


def stored(library, text, places, loader="pdf/1"):
    return library.documents.add(text, title="t", source="s", loader=loader, places=places)


KINDS = st.sampled_from(["page", "section", "row", "time"])
PLACES = st.lists(st.tuples(KINDS, st.integers(0, 50), st.text(min_size=1, max_size=5)), max_size=30)


@given(PLACES, st.lists(st.integers(0, 60), max_size=10))
def test_the_last_place_of_each_kind_holds(tmp_path_factory, drawn, offsets):
    places = [Place(kind=kind, start=start, label=label) for kind, start, label in drawn]
    with Library(tmp_path_factory.mktemp("ws")) as library:
        document = stored(library, "x" * 61, places)
        found = library.documents.places_at(document.id, offsets)
        starts = {kind: library.documents.starts_of(document.id, kind) for kind in ("page", "row")}
    assert set(found) == set(offsets)
    for offset, labels in found.items():
        held = {}
        for place in sorted(places, key=lambda place: place.start):
            if place.start <= offset:
                held[place.kind] = place.label
        assert labels == held
    for kind, ascending in starts.items():
        assert set(ascending) == {place.start for place in places if place.kind == kind}
        assert all(a < b for a, b in pairwise(ascending))


def test_remove_takes_the_places_along(library):
    document = stored(library, "bees", [Place(kind="section", start=0, label="Ulpelhala")])
    other = stored(library, "hive", [Place(kind="page", start=0, label="7")])
    library.remove(document.id)
    assert [tuple(row) for row in library.database.rows("SELECT document_id, label FROM places")] == [(other.id, "7")]
    library.close()
    for path in library.workspace.rglob("*"):
        assert not path.is_file() or b"ulpelhala" not in path.read_bytes().lower()


def test_places_come_to_a_document_that_had_none_and_stay(library):
    bare = stored(library, "bees", [])
    assert library.documents.places_at(bare.id, [0]) == {0: {}}
    assert stored(library, "bees", [Place(kind="page", start=0, label="iv")]) == bare
    stored(library, "bees", [Place(kind="page", start=0, label="9")])
    assert library.documents.places_at(bare.id, [3]) == {3: {"page": "iv"}}


def test_a_library_of_the_first_version_opens_and_keeps_its_documents(tmp_path):
    with sqlite3.connect(tmp_path / "library.db") as old:
        for statement in MIGRATIONS[0]:
            old.execute(statement)
        old.execute("INSERT INTO documents VALUES ('a', 'notes.md', 's', 4, 'markdown/1', 1.0)")
        old.execute("INSERT INTO text_blocks VALUES ('a', 0, 'bees')")
        old.execute("PRAGMA user_version=1")
    old.close()
    with Library(tmp_path) as library:
        assert library.documents.text("a") == "bees"
        assert library.documents.places_at("a", [0]) == {0: {}}
        assert library.database.rows("PRAGMA user_version")[0][0] == len(MIGRATIONS)
        library.remove("a")
        assert library.documents.all() == []
