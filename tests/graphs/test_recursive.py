"""Recursive runs by actions: what the root model sees and does, where runs end, and their caps."""

import json
import re
from itertools import count, pairwise

import pytest
from recursive_runs import FACT, SEARCH, TEXT, Runs, helped, rooted, told, turns_of

from rereader.agents.desk import VERBATIM_TURNS
from rereader.testing.texts import essay, plant


@pytest.fixture
def ask(tmp_path):
    runs = Runs(tmp_path)
    yield runs
    runs.close()


# Ends


def test_an_answer_ends_the_run_and_is_quoted_from_what_helpers_read(ask):
    answer, reader, session = ask([f"found = {SEARCH}", 'map(found, "What opens it?")', 'answer("5265")'])
    assert (answer.status, answer.answer, answer.warnings) == ("answered", "5265", [])
    assert FACT in answer.evidence[answer.claims[0].evidence[0]].quote
    assert [turn["action"] for turn in turns_of(session, answer)] == ["search", "map", "answer"]
    notes = [r for r in session.library.records.of_run(answer.run_id) if r.agent == "subreader"]
    assert [r.content for r in notes] == ["It opens with 5265."]
    assert FACT in session.library.documents.text_of(notes[0].spans[0])
    assert len(rooted(reader)) == 3 and len(helped(reader)) == turns_of(session, answer)[1]["sub_calls"]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('answer(He said "5265", (twice).)', 'He said "5265", (twice).'),
        ('answer("It\'s \\"5265\\"")', 'It\'s "5265"'),
        ('{"action": "answer", "text": "5265, that is \\"open\\""}', '5265, that is "open"'),
        ("answer(note1)", "It opens with 5265."),
    ],
)
def test_answers_may_hold_quotes_or_be_a_variable(ask, line, text):
    answer, _, _ = ask([SEARCH, 'ask(found1[0], "What opens it?")', line])
    assert answer.answer == text
    assert answer.warnings == []


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["bad"] * 3, "3 errors in a row"),
        ([SEARCH, "fly(1)", "map(found1)", "ask(nowhere, 'q')"], "3 errors in a row"),
        ([SEARCH, "answer(text)"], "an empty answer"),
        ([SEARCH, 'answer("")'], "an empty answer"),
        ([SEARCH, "answer(<your answer>)"], "an empty answer"),
        ([f"peek({n})" for n in range(12)], "no answer in 12 turns"),
    ],
)
def test_without_an_answer_parts_found_by_search_are_mapped_and_reduced(ask, lines, reason):
    answer, reader, session = ask(lines, fallback_parts=3)
    assert answer.answer == "5265"
    assert FACT in answer.evidence[0].quote
    [warning] = answer.warnings
    assert reason in warning and "parts found by search" in warning
    last = next(s for s in session.library.runs.steps(answer.run_id) if s.node == "answer")
    assert last.detail["fallback"] == reason
    assert len(last.calls) == 2  # one part holds words of the question
    assert FACT in helped(reader)[0]


def test_an_error_between_good_turns_is_forgiven(ask):
    answer, _, session = ask([SEARCH, "fly", "fly", "info()", 'ask(found1, "q")', "fly", "fly", 'answer("5265")'])
    assert answer.warnings == []
    assert [bool(turn["error"]) for turn in turns_of(session, answer)] == [
        False,
        True,
        True,
        False,
        False,
        True,
        True,
        False,
    ]


def test_the_answer_may_not_come_before_a_look_at_the_text(ask):
    answer, reader, session = ask(['answer("1")', SEARCH, 'answer("5265")'])
    assert "look at the text before you answer" in turns_of(session, answer)[0]["error"]
    assert "look at the text before you answer" in rooted(reader)[1]
    assert answer.answer == "5265"


def test_doing_the_same_again_is_an_error(ask):
    _, reader, _ = ask([SEARCH, SEARCH, 'answer("5265")'])
    assert "this was done in turn 1" in rooted(reader)[2]


def test_a_fallback_that_finds_nothing_declines(ask):
    answer, _, _ = ask(["bad"] * 3, lambda prompt: "Nothing.", decline_below=0.2)
    assert (answer.status, answer.declined) == ("declined", True)
    answer, _, _ = ask(["peek(0, 10)", *["bad"] * 3], lambda prompt: "Nothing.", decline_below=0.2)
    assert any(FACT in item.quote for item in answer.evidence)  # what was asked is shown, not only what was peeked at


def test_a_question_whose_words_stand_nowhere_falls_back_to_parts_all_over(ask):
    answer, reader, _ = ask(["bad"] * 3, question="Quelle heure zzz?", fallback_parts=4)
    assert len(helped(reader)) == 4
    assert any("parts found by search" in warning for warning in answer.warnings)


def test_evidence_only_calls_for_no_answer(ask):
    answer, _, _ = ask([SEARCH, 'map(found1, "q")', 'answer("5265")'], answer=False)
    assert answer.answer == "" and FACT in answer.evidence[0].quote


# What the root model sees


def test_the_root_prompt_holds_metadata_names_and_snippets_only(ask):
    long = plant(essay(2, 3000), [FACT])
    lines = [
        SEARCH,
        "split(doc, 20)",
        "peek(100, 200)",
        'map(parts1, "What opens it?")',
        "info(parts1)",
        'answer("5265")',
    ]
    _, short_reader, _ = ask(lines)
    _, reader, _ = ask(lines, texts=(long,))
    prompts = rooted(reader)
    first = prompts[0]
    assert f"{len(long):,} characters" in first and long[:60].split("\n")[0] in first
    assert long[60:120] not in first
    assert abs(len(first) - len(rooted(short_reader)[0])) < 100  # its size does not depend on the text's
    for prompt in prompts:
        pieces = [long[i : i + 201] for i in range(0, len(long) - 201, 50)]
        shown = sum(piece in prompt for piece in pieces)
        assert shown == 0  # no stretch longer than the 200 characters that were asked for
        assert len(prompt) < 8_000
    assert long[100:300] in prompts[3]


def test_what_was_done_long_ago_is_a_line_each(ask):
    lines = [f'search("strongbox wind sea letter{n}", 10)' for n in range(12)]
    _, reader, _ = ask(lines)
    sizes = [len(prompt) for prompt in rooted(reader)]
    grown = [later - earlier for earlier, later in pairwise(sizes)]
    assert max(grown[:VERBATIM_TURNS]) > 1_000
    assert max(grown[VERBATIM_TURNS:]) < 600  # a variable's line and two short lines
    assert "letter0" in rooted(reader)[-1]


def test_no_text_enters_graph_state(ask):
    answer, _, session = ask([SEARCH, "peek(0, 300)", 'map(found1, "q?")', 'answer("5265")'])
    folder = session.library.checkpoint_path(answer.run_id).parent
    stored = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"strongbox" in stored  # the question
    for secret in (b"harbour", b"opens with", b"peek(", b"q?"):
        assert secret not in stored


def test_prompts_are_stored_by_reference(ask):
    answer, _, session = ask(
        [SEARCH, "split(doc)", 'map(found1, "What opens it?")', 'reduce(notes1, "q")', 'answer("5")']
    )
    calls = [call for step in session.library.runs.steps(answer.run_id) for call in step.calls]
    assert len(calls) > 5
    assert not any("harbour" in json.dumps(call.slots) for call in calls)


# Actions


def test_variables_stay_between_turns_under_the_names_they_were_given(ask):
    lines = [
        "all = split(doc, 8)",
        'found = filter(all, "strongbox")',
        'who = map(found, "What opens it?")',
        "n = count(all)",
        'm = count(who, "5265")',
        "part = slice(doc, 10, 60)",
        "info(part)",
        'last = reduce(who, "What opens it?")',
        "answer(last)",
    ]
    answer, reader, session = ask(lines)
    heard = told(session, answer)
    assert re.fullmatch(r"all: 8 parts of up to [\d,]+ characters", heard[0])
    assert heard[1:6] == ["found: 1 of 8 items", heard[2], "n: 8", "m: 1", "part: text of 50 characters"]
    assert heard[2].splitlines()[0] == "who: something in 1 of 1 parts"
    assert heard[6].startswith("part: text, 50 characters, begins: ")
    assert heard[7] == "last: 5265" and answer.answer == "5265"
    table = rooted(reader)[-1]
    assert all(
        name in table for name in ("all: parts, 8 items", "who: notes, 1 items", "n: number", "last: note, 1 items")
    )


def test_parts_partition_the_text_in_order(ask):
    texts = (plant(essay(3, 80), [FACT]), "".join(essay(4, 50)))
    answer, _, session = ask(["a = split(doc)", "b = split(doc, 5)", "c = split(a[1], 3)", 'answer("x")'], texts=texts)
    records = {
        json.loads(r.content)["name"]: r for r in session.library.records.of_run(answer.run_id) if r.agent == "variable"
    }
    whole = "".join(texts)
    for name in ("a", "b"):
        assert "".join(session.library.documents.text_of(span) for span in records[name].spans) == whole
    assert 5 <= len(records["b"].spans) <= 6  # a part never runs over the end of a document
    assert "".join(map(session.library.documents.text_of, records["c"].spans)) == session.library.documents.text_of(
        records["a"].spans[1]
    )


def test_a_map_asks_all_parts_in_one_batch_and_keeps_their_order(ask):
    numbers = count()
    answer, reader, session = ask(
        ["all = split(doc, 6)", 'notes = map(all, "What?")', 'answer("x")'], lambda prompt: f"note {next(numbers)}"
    )
    step = next(s for s in session.library.runs.steps(answer.run_id) if s.node == "act" and s.detail["action"] == "map")
    assert step.usage.serial_depth == 1 and len(step.calls) == 6
    notes = [r for r in session.library.records.of_run(answer.run_id) if r.agent == "subreader"]
    assert [n.content for n in notes] == [f"note {i}" for i in range(6)]
    starts = [n.spans[0].start for n in notes]
    assert starts == sorted(starts)
    variable = [r for r in session.library.records.of_run(answer.run_id) if '"notes"' in r.content][-1]
    assert variable.parents == tuple(n.id for n in notes)
    asked = helped(reader)
    assert all(f"{TEXT[n.spans[0].start : n.spans[0].end]}" in prompt for n, prompt in zip(notes, asked, strict=True))


def test_grep_and_peek_tell_positions(ask):
    at = TEXT.index("5265")
    answer, reader, session = ask(['grep("[0-9]{4}", 3)', f"peek({at}, 4)", 'ask(found1, "q")', 'answer("5265")'])
    heard = told(session, answer)
    assert f"[0] at {at - 60:,}: " in heard[0] and "5265" in heard[0]
    assert heard[1] == "5265"
    assert FACT in helped(reader)[0]


def test_a_catastrophic_pattern_is_told_as_an_error(ask, monkeypatch):
    monkeypatch.setattr("rereader.agents.views.grep.__defaults__", (0.5,))
    answer, _, session = ask(['grep("(\\\\w+\\\\s?)+$#", 3)', SEARCH, 'answer("5265")'])
    assert "takes too long" in turns_of(session, answer)[0]["error"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("ask(nowhere, 'q')", "there is no variable nowhere; there are doc"),
        ("ask(doc[1], 'q')", "doc is a text and has no parts"),
        ("ask(found1[99], 'q')", "found1 has parts 0 to"),
        ("reduce(found1, 'q')", "map a question over it first"),
        ("map(count1, 'q')", "count1 is a number"),
        ("split(doc, 5000)", "at most 1,000 parts"),
        ("peek(99999999)", "doc has characters 0 to"),
        ("slice(doc, 5, 5)", "doc has characters 0 to"),
        ("grep('(')", "cannot be used"),
    ],
)
def test_what_cannot_be_done_is_told(ask, line, error):
    answer, reader, session = ask([SEARCH, "count(found1)", line, 'answer("5265")'])
    assert error in turns_of(session, answer)[2]["error"]
    assert error in rooted(reader)[3]
    assert answer.usage.calls == 4
