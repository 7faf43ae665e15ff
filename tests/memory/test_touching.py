"""Records by the place in a document that they were made from."""

from hypothesis import given
from hypothesis import strategies as st

from rereader.memory.library import Library
from rereader.schema import Record, RecordKind, Span

PLACES = st.tuples(st.integers(0, 30), st.integers(1, 10)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def note(number, places, document="d"):
    spans = [Span(document_id=document, start=start, end=end) for start, end in places]
    return Record.create(
        run_id="r", kind=RecordKind.NOTE, content=f"{number}", agent="a", spans=spans, step=number, ordinal=0
    )


@given(st.lists(st.lists(PLACES, max_size=3), max_size=8), PLACES)
def test_just_those_are_found_that_share_a_character_each_once(tmp_path_factory, places, asked):
    with Library(tmp_path_factory.mktemp("workspace")) as library:
        records = [note(number, spans) for number, spans in enumerate(places)]
        library.records.add([*records, note(99, [(0, 40)], document="other")])
        span = Span(document_id="d", start=asked[0], end=asked[1])
        found = library.records.touching(span)
    assert {one.id for one in found} == {one.id for one in records if any(s.overlaps(span) for s in one.spans)}
    assert len(found) == len({one.id for one in found})
    firsts = [min(s.start for s in one.spans if s.overlaps(span)) for one in found]
    assert firsts == sorted(firsts)
