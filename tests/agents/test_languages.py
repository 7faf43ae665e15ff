"""The warning about a document in a language that the embedder was not trained on."""

import pytest

from rereader.agents import languages
from rereader.models.hashing import HashingEmbedder
from rereader.testing.sessions import scripted_models, scripted_session

GERMAN = "Der alte Müller verkaufte die Mühle an einen Bankier, und das war nicht gut für ihn. " * 5
ENGLISH = "The old miller sold the mill to a banker, and that was not good for him at all. " * 5


class English(HashingEmbedder):
    languages = ("en",)


@pytest.fixture
def session(tmp_path):
    models = scripted_models()
    made = scripted_session(
        tmp_path / "ws", type(models)(reader=models.reader, scorer=models.scorer, embedder=English())
    )
    yield made
    made.close()


def test_a_german_text_is_warned_of_once_per_document_and_run(session):
    add = session.library.documents.add
    german = add(GERMAN, title="mühle.txt", source="-", loader="text/1")
    english = add(ENGLISH, title="mill.txt", source="-", loader="text/1")
    for graph in ("compressed-memory", "retrieval"):
        answer = session.ask("Who bought the mill?", [german.id, english.id], graph=graph)
        said = [warning for warning in answer.warnings if "trained on" in warning]
        assert len(said) == 1
        assert "English" in said[0] and "mühle.txt" in said[0] and "German" in said[0]
        assert "rereader models pull multilingual" in said[0]
    heard = []
    session.prepare(german, listen=heard.append)
    assert [event.kind for event in heard if "German" in event.text] == ["warning"]


def test_a_run_finds_out_each_language_once(session, monkeypatch):
    documents = [
        session.library.documents.add(text, title=text[:9], source="-", loader="text/1") for text in (GERMAN, ENGLISH)
    ]
    looked = []
    monkeypatch.setattr(languages, "document_language", lambda _store, document: looked.append(document.id) or "en")
    session.ask("Who bought the mill?", [document.id for document in documents])
    assert looked == [document.id for document in documents]


def test_an_embedder_for_all_languages_says_nothing(tmp_path):
    session = scripted_session(tmp_path / "ws")
    document = session.library.documents.add(GERMAN, title="mühle.txt", source="-", loader="text/1")
    assert not [w for w in session.ask("Wer kaufte die Mühle?", [document.id]).warnings if "trained on" in w]
    session.close()
