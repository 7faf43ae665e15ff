"""Places are found letter for letter, then by BM25; in documents that were never cut too."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.memory.library import Library
from rereader.runs import searching
from rereader.runs.searching import places_in, search_document
from rereader.schema import InputError
from rereader.testing.sessions import scripted_session

TEXT = "The bees of Ostrow hum.\nNobody owns the mill; the Bees\n of  Ostrow are loud. (a.b) aXb\n" * 3


@pytest.fixture
def session(workspace):
    found = scripted_session(workspace)
    yield found
    found.close()


def test_a_document_that_was_never_cut(workspace):
    with Library(workspace) as library:
        document = library.documents.add(TEXT, title="t", source="t", loader="text/1")
        found = search_document(library, document, " bees  OF ostrow", 20)
        assert [hit.quote for hit in found] == ["bees of Ostrow", "Bees\n of  Ostrow"] * 3
        assert [hit.line for hit in found] == [1, 2, 4, 5, 7, 8]
        assert all(TEXT[hit.start : hit.end] == hit.quote and hit.score is None for hit in found)
        assert len(search_document(library, document, "bees", 2)) == 2
        assert search_document(library, document, "windmill", 20) == ()
        assert [hit.quote for hit in search_document(library, document, "a.b", 20)] == ["a.b"] * 3


def test_passages_follow_what_stands_letter_for_letter(session):
    document = session.add_text(TEXT + "A mill of Keziah's. " * 5, title="t", source="t")
    found = search_document(session.library, document, "Keziah mill", 20)
    assert found and all(hit.score is not None for hit in found)
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    found = search_document(session.library, document, "bees of Ostrow", 20)
    exact = [hit for hit in found if hit.score is None]
    assert found[: len(exact)] == tuple(exact) and len(exact) == 6
    for hit in found[len(exact) :]:
        assert not any(hit.start < one.end and one.start < hit.end for one in exact)


@pytest.mark.parametrize("query", ["", " \n\t"])
def test_a_search_without_words_is_refused(session, query):
    document = session.add_text(TEXT, title="t", source="t")
    with pytest.raises(InputError):
        search_document(session.library, document, query, 5)


@given(query=st.text(min_size=1, max_size=12).filter(str.strip))
def test_any_words_can_be_searched_for(tmp_path_factory, query):
    try:
        query.encode()
    except UnicodeEncodeError:
        return
    session = _shared(tmp_path_factory)
    [document] = session.library.documents.all()
    for hit in search_document(session.library, document, query, 5):
        assert 0 <= hit.start < hit.end <= document.length


@given(
    blocks=st.lists(st.text("abB \n", min_size=1, max_size=6), max_size=8),
    words=st.lists(st.text("ab", min_size=1, max_size=2), min_size=1, max_size=3),
)
def test_blocks_are_searched_as_the_whole_text_is(blocks, words):
    whole = re.finditer(r"\s+".join(words), "".join(blocks), re.IGNORECASE)
    assert list(places_in(blocks, " ".join(words), tail=48)) == [match.span() for match in whole]


def test_no_more_is_read_than_is_asked_for():
    def blocks():
        yield "bees, be"
        yield "es"
        raise AssertionError("the second place was enough")

    found = places_in(blocks(), "bees")
    assert [next(found), next(found)] == [(0, 4), (6, 10)]


def test_a_long_document_is_never_held_whole(workspace, monkeypatch):
    with Library(workspace) as library:
        text = ("x" * 65_530 + " bees  of Ostrow ") * 3
        document = library.documents.add(text, title="t", source="t", loader="text/1")
        monkeypatch.setattr(library.documents, "text", None)
        found = search_document(library, document, "Bees of Ostrow", 20)
        assert [hit.start for hit in found] == [match.start() for match in re.finditer("bees", text)]


def test_what_lies_across_two_passages_takes_no_room_from_others(workspace, monkeypatch):
    passages = [(start, start + 10, 1.0) for start in range(0, 100, 10)]
    monkeypatch.setattr(searching, "_ranked", lambda library, document, query, limit: passages[:limit])
    with Library(workspace) as library:
        document = library.documents.add("." * 8 + "bees" + "." * 88, title="t", source="t", loader="text/1")
        found = search_document(library, document, "bees", 3)
    assert [(hit.start, hit.end) for hit in found] == [(8, 12), (20, 30), (30, 40)]


_SHARED = []


def _shared(tmp_path_factory):
    """One session for all examples."""
    if not _SHARED:
        session = scripted_session(tmp_path_factory.mktemp("searched"))
        session.add_text(TEXT, title="t", source="t")
        _SHARED.append(session)
    return _SHARED[0]
