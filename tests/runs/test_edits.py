"""The file of edits: what --print-memory writes is read back to nothing, and what cannot be read is said."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.memory.working import Entry
from rereader.runs.edits import Edit, memory_fields, memory_text, read_edits
from rereader.schema import InputError, Record, RecordKind, Span

SPAN = Span(document_id="d" * 64, start=3, end=9)
TEXTS = st.text(
    st.one_of(st.characters(blacklist_categories=["Cs"]), st.sampled_from("\"\\\n\r\t\x00\x7f'#=[]{}")), max_size=60
)


def entry(text, slot="note", place=0, *, pinned=False):
    kind, spans = (RecordKind.QUOTE, [SPAN]) if slot == "quote" else (RecordKind.NOTE, [])
    made = Record.create(run_id="r", kind=kind, content=text, agent="a", spans=spans, ordinal=place)
    return Entry(slot, made, pinned)


@given(st.lists(st.tuples(TEXTS, st.sampled_from(["note", "quote", "desk"]), st.booleans()), max_size=5), TEXTS)
def test_a_printed_memory_is_read_back_as_it_was(parts, changed):
    held = [entry(text, slot, i, pinned=pinned) for i, (text, slot, pinned) in enumerate(parts)]
    assert read_edits(memory_text(held, "A head\nof two lines."), held) == []
    assert read_edits(json.dumps({"memory": memory_fields(held)}), held) == []
    if held and changed != held[0].record.content:
        first = Entry(held[0].slot, held[0].record.model_copy(update={"content": changed}), held[0].pinned)
        found = read_edits(memory_text([first, *held[1:]]), held)
        assert found == [Edit("edit", held[0].record.id, changed)]


def test_the_difference_of_two_memories():
    one, two, three = (entry(text, place=i) for i, text in enumerate(("one", "two", "three")))
    quoted = entry("four", "quote")
    draft = entry("the answer", "draft")
    held = [one, two, three, quoted, draft]
    text = f'''
    [[memory]]
    record = "{one.record.id[:6]}"
    text = "one"
    pin = true

    [[memory]]
    record = "{quoted.record.id}"
    span = "dddddddddddd:4-9"
    text = "four"

    [[memory]]
    text = "five"

    [[memory]]
    span = "0-5"
    pin = true
    '''
    assert read_edits(text, held) == [
        Edit("pin", one.record.id),
        Edit("edit", quoted.record.id, None, "dddddddddddd:4-9"),
        Edit("add", text="five"),
        Edit("add", span="0-5", pinned=True),
        Edit("drop", two.record.id),
        Edit("drop", three.record.id),
    ]
    assert read_edits("memory = []", held) == [Edit("drop", e.record.id) for e in held[:-1]]
    assert "the answer" not in memory_text(held)
    assert read_edits(memory_text([]), []) == []
    begun = memory_text([], "A heading.") + '\n[[memory]]\ntext = "a note"\n'
    assert read_edits(begun, []) == [Edit("add", text="a note")]
    pinned = Entry("note", one.record, pinned=True)
    assert read_edits(f'[[memory]]\nrecord = "{one.record.id}"', [pinned]) == [Edit("unpin", one.record.id)]


def test_single_edits():
    text = """
    drop = ["aaaa"]
    pin = ["bbbb"]
    [[edit]]
    record = "cccc"
    text = "other"
    [[add]]
    text = "new"
    pin = true
    """
    expected = [
        Edit("edit", "cccc", "other"),
        Edit("drop", "aaaa"),
        Edit("pin", "bbbb"),
        Edit("add", text="new", pinned=True),
    ]
    assert read_edits(text, []) == expected
    assert read_edits('{"drop": ["aaaa"]}', []) == [Edit("drop", "aaaa")]
    assert read_edits("", []) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("drop = ", "no TOML or JSON"),
        ('{"drop": [', "no TOML or JSON"),
        ('drop = "aaaa"', "drop"),
        ("drop = [1]", "drop.0"),
        ("remove = []", "remove"),
        ("[[edit]]\ntext = 'x'", "edit.0.record"),
        ("[[memory]]\nrecord = 'aaaa'\nwords = 'x'", "memory.0.words"),
        ("drop = ['aaaa']\nmemory = []", "whole memory and single changes"),
        ("[[memory]]\nrecord = 'nowhere'", "holds no record 'nowhere'"),
        ("[" * 100_000, "no TOML or JSON"),
        ('{"a":' * 100_000, "no TOML or JSON"),
        (r'{"add": [{"text": "\ud800"}]}', "lone surrogate"),
        (r'{"add": [{"\ud800": 1}]}', "lone surrogate"),
        (r'{"drop": ["\ud800"]}', "lone surrogate"),
    ],
    ids=lambda value: value[:24],
)
def test_what_cannot_be_used_is_said(text, said):
    with pytest.raises(InputError, match=said) as caught:
        read_edits(text, [entry("x")])
    assert caught.value.hint and "\n" not in caught.value.message
