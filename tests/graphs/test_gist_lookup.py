"""Gist look-up against the published algorithm: what is asked, in which order, and what each prompt holds."""

import re

import pytest
from paged_books import (
    FACT,
    QUESTION,
    Script,
    add,
    ask,
    book,
    detail,
    keeper_gists,
    kind,
    paragraph,
    paragraphs_in,
    spans_of,
    two_books,
)

from rereader.models.scripted import ScriptedModel
from rereader.schema import RecordKind

# As published


def test_calls_come_in_the_published_order(start):
    script = Script(["[3]"])
    session = start(script)
    document = add(session, book())
    answer = ask(session, document)
    # Pages of 400 words, since the second of four labels is taken: the last 400 words are asked about, too.
    pages = spans_of(session, document)
    assert [(call.method, kind(call.prompt)) for call in script.model.calls] == [
        *[("choose", "page_break")] * 5,
        *[("generate", "page_gist")] * 5,
        ("generate", "lookup"),
        ("generate", "answer"),
    ]
    assert len(pages) == 5
    assert answer.usage.calls == 12
    assert answer.usage.serial_depth == 5 + 1 + 1 + 1
    assert "".join(session.library.documents.text_of(page) for page in pages) == book()


def test_the_page_break_is_asked_with_labels_after_the_page_before(start):
    script = Script()
    session = start(script)
    ask(session, add(session, book()))
    first, second, *_, last = script.prompts("page_break")
    assert "The page before" not in first
    assert re.findall(r"p(\d+)end\.\s+<(\w)>", first) == [("2", "A"), ("3", "B"), ("4", "C"), ("5", "D")]
    before, passage = second.split("Text with labels:")
    assert paragraphs_in(before) == [0, 1, 2, 3]
    assert paragraphs_in(passage) == [4, 5, 6, 7, 8, 9]
    assert re.findall(r"p(\d+)end\.\s+<(\w)>", last) == [("18", "A"), ("19", "B")]
    assert paragraphs_in(last.split("Text with labels:")[0]) == [12, 13, 14, 15]


def test_a_gist_is_written_from_its_page_alone(start):
    script = Script()
    session = start(script)
    ask(session, add(session, book()))
    prompts = script.prompts("page_gist")
    assert [paragraphs_in(prompt) for prompt in prompts] == [list(range(i, i + 4)) for i in range(0, 20, 4)]
    assert not any("Gist of" in prompt for prompt in prompts)


def test_a_look_up_sees_every_gist_and_no_page(start):
    script = Script(["[4]"])
    session = start(script)
    ask(session, add(session, book()))
    [prompt] = script.prompts("lookup")
    assert re.findall(r"Page (\d+):\nGist of p(\d+)w0\.", prompt) == [(str(i + 1), str(4 * i)) for i in range(5)]
    assert QUESTION in prompt and "at most 5" in prompt
    assert paragraphs_in(prompt) == []


def test_pages_stand_in_place_of_their_gists_in_order_and_without_numbers(start):
    script = Script(["[4, 2, 4, 99]"])
    session = start(script)
    document = add(session, book())
    answer = ask(session, document)
    [prompt] = script.prompts("answer")
    parts = [int(n) for n in re.findall(r"Gist of p(\d+)w0\.|p(?:\d+)w0\b", prompt) if n]
    assert parts == [0, 8, 16]
    assert paragraphs_in(prompt) == [4, 5, 6, 7, 12, 13, 14, 15]
    assert prompt.index("Gist of p0w0") < prompt.index("p4end") < prompt.index("Gist of p8w0") < prompt.index("p12end")
    assert "Page 2" not in prompt and "[4" not in prompt
    [told] = detail(session, answer, "lookup")
    pages = spans_of(session, document)
    assert (told["requested"], told["rejected"]) == ([4, 2, 4, 99], [4, 99])
    assert told["pages"] == [{"page": n, "span": [document.id, pages[n - 1].start, pages[n - 1].end]} for n in (4, 2)]
    [told] = detail(session, answer, "answer")
    assert [page["page"] for page in told["expanded"]] == [2, 4]
    shown = len("Gist of p0w0.") + len("Gist of p8w0.") + len("Gist of p16w0.") + len(pages[1]) + len(pages[3])
    assert told["compression"] == round(1 - shown / document.length, 4)


def test_the_answer_is_quoted_from_the_pages_that_were_read_again(start):
    session = start(Script(["[4]"]))
    document = add(session, book())
    answer = ask(session, document)
    page = spans_of(session, document)[3]
    assert answer.answer == "a brass compass"
    assert FACT in answer.evidence[answer.claims[0].evidence[0]].quote
    assert all(page.start <= item.start < page.end for item in answer.evidence)


def test_the_sequential_look_up_reads_page_after_page_and_stops(start):
    script = Script(["Page 4", "2", "STOP"])
    session = start(script)
    answer = ask(session, add(session, book()), lookup="sequential")
    first, second, third = script.prompts("lookup")
    assert paragraphs_in(first) == [] and "so far: none." in first
    assert paragraphs_in(second) == [12, 13, 14, 15] and "so far: 4." in second
    assert "Gist of p12w0" not in second and "Page 4:\np12w0" in second
    assert paragraphs_in(third) == [4, 5, 6, 7, 12, 13, 14, 15] and "so far: 4, 2." in third
    assert paragraphs_in(script.prompts("answer")[0]) == [4, 5, 6, 7, 12, 13, 14, 15]
    assert [len(told["pages"]) for told in detail(session, answer, "lookup")] == [1, 1, 0]


@pytest.mark.parametrize(
    ("replies", "pages", "failures"),
    [
        (["3", "3"], [3], 0),
        (["3", "77"], [3], 0),
        (["stop"], [], 0),
        (["I do not know"], [], 1),
        (["1", "2", "5", "4"], [1, 2, 5], 0),  # the cap
    ],
)
def test_a_sequential_look_up_ends(start, replies, pages, failures):
    script = Script(replies)
    session = start(script)
    answer = ask(session, add(session, book()), lookup="sequential", turns=3)
    named = [page["page"] for told in detail(session, answer, "lookup") for page in told["pages"]]
    assert named == pages
    assert answer.usage.parse_failures == failures
    assert len(script.prompts("lookup")) == min(3, len(replies))


def test_a_written_label_is_taken_and_a_wrong_one_is_the_last(start):
    script = Script(label="Break point: <1>")
    session = start(script)
    document = add(session, book())
    assert ask(session, document, pagination="generate").usage.parse_failures == 0
    assert len(spans_of(session, document, pagination="generate")) == 7  # 300 words each, and the 200 that are left
    assert "<1>" in script.prompts("page_break")[0] and "<A>" not in script.prompts("page_break")[0]
    script = Script(label="<57>")
    session = start(script)
    document = add(session, book())
    answer = ask(session, document, pagination="generate")
    assert answer.usage.parse_failures == len(script.prompts("page_break")) == 3
    sizes = [
        len(paragraphs_in(session.library.documents.text_of(span)))
        for span in spans_of(session, document, pagination="generate")
    ]
    assert sizes == [6, 6, 6, 2]


# Variants


def test_uniform_pages_are_as_long_as_they_may_be_and_call_nobody(start):
    script = Script()
    session = start(script)
    document = add(session, book())
    ask(session, document, pagination="uniform")
    assert script.prompts("page_break") == []
    texts = [session.library.documents.text_of(span) for span in spans_of(session, document, pagination="uniform")]
    assert [len(paragraphs_in(text)) for text in texts] == [6, 6, 6, 2]


@pytest.mark.parametrize(
    ("lookup", "replies", "pages"),
    [("none", [], []), ("embedding", [], [4]), ("hybrid", ["[1]"], [1, 4]), ("hybrid", ["[4]"], [4])],
)
def test_pages_are_found_by_embedding_or_not_at_all(start, lookup, replies, pages):
    script = Script(replies, gist=keeper_gists)
    session = start(script)
    answer = ask(session, add(session, book()), lookup=lookup, pages=1)
    assert len(script.prompts("lookup")) == len(replies)
    assert [page["page"] for told in detail(session, answer, "lookup") for page in told["pages"]] == pages
    wanted = [i for page in sorted(pages) for i in range(4 * page - 4, 4 * page)]
    assert paragraphs_in(script.prompts("answer")[0]) == wanted


def test_the_gister_writes_gists_if_it_is_told_to(start):
    script = Script()
    gister = ScriptedModel(lambda prompt: "Short.", name="gister")
    session = start(script, gister)
    document = add(session, book())
    ask(session, document)
    assert gister.calls == []
    script.lookups = ["[]"]
    ask(session, document, gist_by="gister")
    assert len(gister.calls) == len(spans_of(session, document)) == len(script.prompts("page_gist"))


def test_evidence_alone_asks_for_no_answer(start):
    script = Script(["[4]"])
    session = start(script)
    answer = ask(session, add(session, book()), answer=False)
    assert script.prompts("answer") == []
    assert answer.answer == "" and any(FACT in item.quote for item in answer.evidence)


# What models do wrong


def test_a_look_up_that_cannot_be_read_is_counted_and_answered_from_gists(start):
    script = Script(["the first ones"])
    session = start(script)
    answer = ask(session, add(session, book()))
    assert answer.usage.parse_failures == 1
    assert paragraphs_in(script.prompts("answer")[0]) == []


def test_gists_that_cannot_be_used_are_replaced_marked_and_told_in_every_run(start):
    bad = {"p0w0": "", "p4w0": "long " * 900, "p8w0": " ".join(paragraph(8).split()[:60])}
    script = Script(["[]", "[]"], gist=lambda page: bad.get(page.split()[0], "Fine."))
    session = start(script)
    document = add(session, book())
    answer = ask(session, document, gist_tokens=1000)
    told = "3 of 5 gists could not be used (1 copied, 1 empty, 1 longer than the page)"
    assert [told in warning for warning in answer.warnings] == [True]
    records = session.library.records.of_run(document.id)
    gists = [record for record in records if record.kind == RecordKind.GIST]
    assert [gist.model for gist in gists] == [
        "lead: empty",
        "lead: longer than the page",
        "lead: copied",
        "reader",
        "reader",
    ]
    assert gists[0].content.startswith("p0w0 p0w1") and 0 < len(gists[0].content.split()) <= 90
    assert [gist.spans[0] for gist in gists] == spans_of(session, document)
    again = ask(session, document, question="Who else?", gist_tokens=1000)
    assert any(told in warning for warning in again.warnings)


def test_the_pages_of_several_documents_are_numbered_through_under_their_titles(start):
    script = Script(["[4]"])
    session = start(script)
    answer = ask(session, *two_books(session))
    [prompt] = script.prompts("lookup")
    assert re.findall(r"# (\w+)|Page (\d+)", prompt) == [
        ("one", ""),
        ("", "1"),
        ("", "2"),
        ("two", ""),
        ("", "3"),
        ("", "4"),
        ("", "5"),
    ]
    assert {item.document for item in answer.evidence} == {"two"}
    assert paragraphs_in(script.prompts("answer")[0]) == [4, 5, 6, 7]
