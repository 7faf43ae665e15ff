"""The real small models end to end; runs where `rereader models pull tiny embed` was run."""

import pytest

from rereader.models.roles import RoleNames
from rereader.runs.session import open_session
from rereader.testing.texts import essay, plant

pytestmark = [pytest.mark.models, pytest.mark.slow]

FACT = "Kelveris Corolmara keeps forty hives at the bottom of the orchard."
TINY = RoleNames(reader="smollm2-135m", gister="smollm2-135m", scorer="smollm2-135m", embedder="minilm")


@pytest.fixture
def session(workspace, models_dir, pulled_model):
    pulled_model("smollm2-135m")
    pulled_model("minilm")
    with open_session(workspace, names=TINY, models_dir=models_dir) as opened:
        yield opened


def test_a_fact_is_found_gated_read_and_cited(session):
    text = plant(essay(1, 250), [FACT])
    document = session.add_text(text, title="t", source="t", settings={"gist": "extract"})
    settings = {"gist": "extract", "gate": "choose", "candidates": 4, "accept": 2, "decline_below": 0}
    first = session.ask("Who keeps forty hives?", [document.id], settings=settings)
    assert any(FACT in item.quote for item in first.evidence)
    assert all(text[item.start : item.end] == item.quote for item in first.evidence)
    assert first.usage.completion_tokens > 0
    again = session.ask("Who keeps forty hives?", [document.id], settings=settings)
    assert (again.answer, again.usage.cached_calls) == (first.answer, first.usage.calls)
    other = session.ask("Who lives in the garden?", [document.id], settings={**settings, "answer": False})
    assert other.usage.embedded_tokens < 100  # the question itself


def test_a_needle_in_the_last_sentence_of_the_longest_chunk_is_found_by_embedding_alone(session):
    sentences = essay(2, 400)
    document = session.library.documents.add("".join(sentences), title="t", source="t", loader="text/1")
    session.prepare(document, graph="full-context")
    [row] = session.library.database.rows("SELECT * FROM chunks ORDER BY tokens DESC LIMIT 1")
    text = session.library.documents.text(document.id)
    place = text[: row["end"]].rstrip().rfind(".", 0, row["end"] - 2) + 1
    with_needle = f"{text[:place]} {FACT} {text[row['end'] :]}"
    planted = session.add_text(with_needle, title="n", source="n", graph="retrieval")
    answer = session.ask(
        "Who is a beekeeper?", [planted.id], graph="retrieval", settings={"ranker": "embedding", "answer": False}
    )
    assert any(FACT in item.quote for item in answer.evidence)


def test_gists_are_written_by_the_real_model(session):
    document = session.add_text(plant(essay(3, 60), [FACT]), title="t", source="t", settings={"gist": "model"})
    rows = session.library.database.rows("SELECT content, model FROM records WHERE run_id = ?", (document.id,))
    assert rows
    assert all(row["content"].strip() and row["model"] == "smollm2-135m" for row in rows)
