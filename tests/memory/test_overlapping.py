"""Chunks by the characters that they share."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 3000), st.integers(0, 3000))
def test_overlapping_chunks_are_those_that_share_a_character(tmp_path, start, length):
    session = scripted_session(tmp_path)
    document = session.add_text("".join(essay(1, 60)), title="t", source="t", settings={"chunk_tokens": 30})
    chunks = session.library.chunks
    [row] = session.library.database.rows("SELECT settings FROM chunkings WHERE document_id = ?", (document.id,))
    chunking = chunks.chunking(document.id, row[0])
    expected = [c for c in chunks.range(chunking) if c.span.start < start + length and start < c.span.end]
    assert chunks.overlapping(chunking, start, start + length) == expected
    session.close()
