"""Blocks of a text stay as they were cut: a fork reads what is left of it, all of it and nothing twice."""

import pytest
from forked import shortened, step_of

from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.schema import InputError
from rereader.testing.conformance_room import QUESTION, TEXT, Trial

SHORT = "Who painted?"
LONG = f"{QUESTION} {'And who keeps the hives behind the quarry? ' * 6}"
BLOCKS = {"block_tokens": 5000, "memory_tokens": 60}
PARTS = {"every": 4000, "recap_tokens": 40, "summary_tokens": 60}


@pytest.fixture
def narrow(tmp_path):
    """A function that opens a room of a reader whose window is too small for the blocks that are wanted."""
    opened = []

    def enter(graph, window=700, **settings):
        def models():
            return Models(reader=ScriptedModel(shortened, name="reader", context_window=window))

        values = {"chunk_tokens": 256, "decline_below": 0, **(BLOCKS if graph == "memory-agent" else PARTS), **settings}
        opened.append(Trial(graph, tmp_path, values, models).room(f"room{len(opened)}"))
        return opened[-1].__enter__()

    yield enter
    for one in opened:
        one.__exit__(None, None, None)


def shown(room, answer):
    """The places of the text that the models were shown, in order."""
    calls = [call for step in room.library.runs.steps(answer.run_id) for call in step.calls]
    pieces = [piece for call in calls for name in ("section", "text") for piece in call.slots.get(name, [])]
    return [tuple(piece["span"][1:]) for piece in pieces if "span" in piece]


def read_once(room, answer):
    found = shown(room, answer)
    return [start for start, _ in found] == [0, *(end for _, end in found[:-1])] and found[-1][1] == len(TEXT)


@pytest.mark.parametrize("question", [SHORT, LONG])
@pytest.mark.parametrize(("graph", "node"), [("memory-agent", "read"), ("active-recap", "recap")])
def test_another_question_reads_every_character_once(narrow, graph, node, question):
    room = narrow(graph, 700 if graph == "memory-agent" else 500)
    answer = room.ask(LONG if question == SHORT else QUESTION + " " + "And who keeps the hives? " * 6)
    steps = [step.number for step in room.library.runs.steps(answer.run_id) if step.node == node]
    assert len(steps) > 2 and read_once(room, answer)
    for step in range(steps[-1]):
        if question == LONG and step >= steps[0]:
            with pytest.raises(InputError, match=rf"as step {steps[0]} has cut them, do not fit") as caught:
                room.session.fork(answer.run_id, step, question=question)
            assert f"--step {steps[0] - 1} or before" in caught.value.hint
        else:
            forked = room.session.fork(answer.run_id, step, question=question)
            assert read_once(room, forked), f"forked at step {step}"


def test_a_setting_that_takes_less_room_leaves_the_blocks_as_they_are(narrow):
    room = narrow("memory-agent", recall=True)
    answer = room.ask()
    for step in range(step_of(room, answer, "read", 0), step_of(room, answer, "read") + 1):
        assert read_once(room, room.session.fork(answer.run_id, step, settings={"recall": False}))
    room = narrow("active-recap", window=800, max_new_tokens=300)
    answer = room.ask()
    for step in range(1, step_of(room, answer, "answer")):
        assert read_once(room, room.session.fork(answer.run_id, step, settings={"max_new_tokens": 20}))


def test_a_setting_that_takes_more_room_is_refused_after_the_first_block(narrow):
    room = narrow("active-recap", window=800)
    answer = room.ask()
    first = step_of(room, answer, "recap", 0)
    for step in range(first, step_of(room, answer, "answer")):
        with pytest.raises(InputError, match="do not fit"):
            room.session.fork(answer.run_id, step, settings={"max_new_tokens": 300})
    assert read_once(room, room.session.fork(answer.run_id, first - 1, settings={"max_new_tokens": 300}))


def test_a_tree_is_not_grown_again_for_a_longer_answer(narrow):
    room = narrow("active-recap", window=800, variant="tree", request="whole")
    answer = room.ask()
    calls = len(room.calls)
    forked = room.session.fork(answer.run_id, step_of(room, answer, "tree"), settings={"summary_tokens": 300})
    assert len(room.calls) == calls + 1, "the answer alone"
    assert forked.status == answer.status


def test_a_question_that_is_too_long_for_a_chunk_is_refused_in_mid_scan(room):
    def models():
        scorer = ScriptedModel(lambda prompt: "B", name="scorer", context_window=500)
        return Models(reader=ScriptedModel(shortened, name="reader", context_window=500), scorer=scorer)

    entered = room("compressed-memory", models, order="scan", reads="raw", chunk_tokens=64, working_tokens=40, ahead=1)
    answer = entered.ask()
    step = step_of(entered, answer, "recall", 1)
    with pytest.raises(InputError, match="A chunk beside the working memory may take"):
        entered.session.fork(answer.run_id, step, question="Who keeps the hives? " * 48)
