"""Active recap by a tree: parts found by their recaps, whole documents, serial depth, budgets."""

import math

import pytest
from recapping import FACT, GRAPH, QUESTION, add, ask, reply, size, steps_of

from rereader.graphs.registry import get_graph
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.schema import Budget, InputError
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant


def test_a_question_has_the_parts_quoted_that_its_leaves_lead_to(session, reader):
    text = plant(essay(7, 120), [FACT])

    def tells(prompt):
        told = reply(prompt)
        return "A strongbox of the Ulpelhala office and its number." if "Recap" in told and FACT in prompt else told

    session.models = Models(reader=ScriptedModel(tells, name="teller"), embedder=session.models.embedder)
    answer = ask(session, [add(session, text)], variant="tree", leaves=1)
    assert answer.answer == "5265"
    [recall] = steps_of(session, answer, "recall")
    [[leaf, _]] = recall.detail["leaves"]
    [record] = session.library.records.get([leaf])
    assert record.spans[0].start <= text.index(FACT) < record.spans[0].end
    # A passage may begin before the part and end in it.
    assert all(record.spans[0].start < e.end and e.start < record.spans[0].end for e in answer.evidence)
    last = session.models.reader.calls[-1].prompt
    assert FACT in last and "Recap of the whole text" in last and last.index(FACT) < last.index(QUESTION)


def test_a_second_question_grows_no_tree(session, reader, text):
    document = add(session, text)
    ask(session, [document], variant="tree")
    made = len(reader.calls)
    second = ask(session, [document], variant="tree", question="Who walks on the stone road in winter?")
    assert len(reader.calls) == made + 1
    assert second.usage.calls == 1


def test_the_serial_depth_of_a_tree_is_that_of_its_levels(session, text):
    answer = ask(session, [add(session, text)], variant="tree")
    leaves = math.ceil(size(text) / 200)
    assert answer.usage.calls == 2 * leaves - 1 + 1
    assert answer.usage.serial_depth == math.ceil(math.log2(leaves)) + 2


@pytest.mark.parametrize("variant", ["linear", "tree"])
def test_a_request_about_the_whole_gets_a_long_answer(tmp_path, text, variant):
    story = "The harbour is quiet. The winter road is of stone.\n\nThe garden has a lamp."
    model = ScriptedModel({"Request:": story, "Write": "The harbour is quiet."}, name="reader")
    session = scripted_session(tmp_path, Models(reader=model, embedder=HashingEmbedder()))
    question = "Summarise this document."
    answer = ask(session, [add(session, text)], question, variant=variant, request="whole", decline_below=0.99)
    assert (answer.answer, answer.status) == (story, "answered")
    assert len(answer.claims) == 3
    assert model.calls[-1].sampling.max_new_tokens == 512
    assert question in model.calls[-1].prompt
    session.close()


def test_a_spent_budget_leaves_the_recaps_so_far_as_the_summary(session, reader, text):
    document = add(session, text)
    leaves = math.ceil(size(text) / 200)
    answer = ask(session, [document], "Summarise.", variant="tree", request="whole", budget=Budget(calls=leaves))
    assert answer.status == "budget_spent"
    assert len(answer.answer.splitlines()) == leaves
    nothing = ask(session, [document], QUESTION, variant="tree", budget=Budget(calls=0))
    assert nothing.status == "budget_spent" and nothing.evidence


def test_what_does_not_go_together_is_refused():
    graph = get_graph(GRAPH)
    for settings in ({"recaps": "off"}, {"deserve": "gap"}):
        with pytest.raises(InputError, match="for variant=linear"):
            graph.build(graph.settings({"variant": "tree", **settings}))
    with pytest.raises(InputError, match="fan"):
        graph.settings({"fan": 1})
