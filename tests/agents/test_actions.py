"""How a line becomes an action, and what is told of one that does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.agents.actions import KINDS, Action, ActionError, Ref, is_unfilled, parse_action, usage

DOC = Ref("doc")


@pytest.mark.parametrize(
    ("line", "kind", "arguments", "name"),
    [
        ('search("gold ring", 3)', "search", {"words": "gold ring", "k": 3}, ""),
        ("search(bees)", "search", {"words": "bees", "k": 5}, ""),
        ("search(words='bees', k='7')", "search", {"words": "bees", "k": 7}, ""),
        ("peek(100)", "peek", {"start": 100, "n": 300}, ""),
        ("info()", "info", {"name": DOC}, ""),
        ("bits = split(doc, 4)", "split", {"name": DOC, "n": 4}, "bits"),
        ("Split(doc)", "split", {"name": DOC, "n": 0}, ""),
        ("slice(bits, 2, 5)", "slice", {"name": Ref("bits"), "start": 2, "end": 5}, ""),
        ('ask(bits[3], "who?")', "ask", {"name": Ref("bits", 3, 4, False), "question": "who?"}, ""),
        ('ask("bits[2:5]", "who?")', "ask", {"name": Ref("bits", 2, 5, False), "question": "who?"}, ""),
        ('map(bits[2:], "who?")', "map", {"name": Ref("bits", 2, None, False), "question": "who?"}, ""),
        ('- Action: count(notes, "sea")', "count", {"name": Ref("notes"), "words": "sea"}, ""),
        ('```python\nx = filter(notes, "sea")\n```', "filter", {"name": Ref("notes"), "words": "sea"}, "x"),
        ('I think so.\n1. reduce(notes, "who?")\nDone.', "reduce", {"name": Ref("notes"), "question": "who?"}, ""),
        ('{"action": "search", "words": "sea", "k": 2}', "search", {"words": "sea", "k": 2}, ""),
        ('{"action": "map", "arguments": {"name": "bits", "question": "q"}, "result": "n"}', "map", None, "n"),
    ],
)
def test_lines_are_parsed(line, kind, arguments, name):
    action = parse_action(line)
    assert (action.kind, action.name) == (kind, name)
    assert arguments is None or action.arguments == arguments


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('answer(He said "yes", they (all) heard.)', 'He said "yes", they (all) heard.'),
        ('answer("He said \\"yes\\".")', 'He said "yes".'),
        ("answer('It's \"open\"')", 'It\'s "open"'),
        ('answer("He said "yes" to her")', 'He said "yes" to her'),
        ('answer(text="She left, then came back")', "She left, then came back"),
        ("answer(1871)", "1871"),
        ("answer(notes1)", "notes1"),
        ("answer()", ""),
        ("answer(text)", "text"),
    ],
)
def test_answers_keep_their_quotes_and_brackets(line, text):
    assert parse_action(line) == Action("answer", {"text": text})


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "nothing was written"),
        ("I should search for bees", "this is no action"),
        ("fly(3)", "there is no action fly"),
        ("map(bits)", "question is missing"),
        ('search("words", 5)', "write words of your own"),
        ("map(bits, question)", "write question of your own"),
        ("search('a', 'b', 3)", "k of search is a whole number|search takes words, k"),
        ("search('a', -1)", "an argument is"),
        ("search('a', 1.5)", "an argument is"),
        ("search('a', True)", "an argument is"),
        ("peek('soon')", "start of peek is a whole number"),
        ("peek(99999999999999)", "start of peek is a whole number"),
        ("search(open('x'))", "an argument is"),
        ("search(a.b)", "an argument is"),
        ("search(*x)", "an argument is"),
        ("search(**x)", "cannot be read"),
        ("search('a)", "cannot be read"),
        ("ask(bits[x], 'q')", "whole numbers from 0"),
        ("ask(3, 'q')", "name of ask is the name of a variable"),
        ("doc = split(doc, 3)", "cannot be the name"),
        ("{'action': 'search'}", "not JSON"),
        ('{"action": "fly"}', 'write {"action"'),
        ('{"action": "search", "words": ["a"]}', "texts or whole numbers"),
        ("search(" + "(" * 500, "no action|cannot be read"),
        ("search(" + "-" * 1900 + "1)", "cannot be read|an argument is"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(line, told):
    with pytest.raises(ActionError, match=told) as error:
        parse_action(line)
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


@given(
    st.text(max_size=300) | st.builds(lambda kind, rest: f"{kind}({rest})", st.sampled_from(sorted(KINDS)), st.text())
)
def test_no_line_does_anything_else_than_parse_or_fail(line):
    try:
        action = parse_action(line)
    except ActionError as error:
        assert str(error)
    else:
        assert action.kind in KINDS and set(action.arguments) == {name for name, _ in KINDS[action.kind].parameters}


@pytest.mark.parametrize(
    "text", ["", "  ", "...", "text", "<answer>", "{answer_text}", "Your answer", "the final answer here"]
)
def test_placeholders_are_no_answers(text):
    assert is_unfilled(text)


@pytest.mark.parametrize("text", ["1871", "Paris", "the answer is Paris", "No", "π"])
def test_answers_are(text):
    assert not is_unfilled(text)


def test_every_action_is_told_with_its_parameters():
    assert [line.split("(")[0] for line in usage().splitlines()] == list(KINDS)
    assert "map(name, question): " in usage()


@pytest.mark.parametrize("line", ['{"action": ["search"], "words": "x"}', '{"action": {}}', 'peek("²", 5)'])
def test_odd_kinds_and_numbers_are_told_and_crash_nothing(line):
    with pytest.raises(ActionError):
        parse_action(line)


def test_a_patterns_backslashes_stay_and_nobody_is_warned():
    assert parse_action(r'grep("\d+ bees", 5)').arguments["pattern"] == r"\d+ bees"
