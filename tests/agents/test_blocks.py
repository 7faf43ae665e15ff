"""Blocks partition documents and have the tokens they should have."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rereader.agents.blocks import blocks
from rereader.agents.context import RunContext
from rereader.agents.settings import ReadingSettings
from rereader.models.base import LanguageModel
from rereader.models.scripted import ScriptedModel
from rereader.testing.sessions import scripted_session

texts = st.lists(st.text(alphabet="ab é\n.漢", min_size=1, max_size=200).filter(str.strip), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    made = scripted_session(tmp_path_factory.mktemp("blocks"))
    yield made
    made.close()


def context_of(session, contents):
    documents = [
        session.library.documents.add(text, title="t", source="t", loader="text/1") for text in dict.fromkeys(contents)
    ]
    return RunContext(
        library=session.library,
        models=session.models,
        counter=session.counter,
        settings=ReadingSettings(chunk_tokens=16),
        run_id="r",
        documents=tuple(documents),
    )


class Unseen(ScriptedModel):
    """A model whose tokens are not known here, as a server's are."""

    def token_spans(self, contents):
        return LanguageModel.token_spans(self, contents)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts, st.integers(1, 40), st.booleans())
def test_blocks_partition_every_document(session, contents, size, hidden):
    context = context_of(session, contents)
    model = (Unseen if hidden else ScriptedModel)({}, name=f"m{hidden}")
    found = blocks(context, model, size)
    for document in context.documents:
        mine = [span for span in found if span.document_id == document.id]
        assert [span.start for span in mine] == [0, *(span.end for span in mine[:-1])]
        assert mine[-1].end == document.length
        assert all(len(span) for span in mine)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 120), st.integers(1, 40))
def test_every_block_but_the_last_is_full(session, words, size):
    context = context_of(session, [" ".join(f"w{i}." if i % 7 == 6 else f"w{i}" for i in range(words))])
    model = ScriptedModel({}, name="words")
    counts = model.count_tokens([session.library.documents.text_of(span) for span in blocks(context, model, size)])
    assert counts[:-1] == [size] * (len(counts) - 1)
    assert 0 < counts[-1] <= size
