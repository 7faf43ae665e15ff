"""MemAgent's algorithm, call by call, and what was published to improve on it."""

import re
import threading

import pytest

from rereader.agents import rememberer
from rereader.graphs.registry import get_graph
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.models.tokens import TokenCounter
from rereader.schema import Budget, InputError, Interrupted, RecordKind
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
SETTINGS = {"block_tokens": 200, "memory_tokens": 50, "decline_below": 0}
PARTS = re.compile(
    r"<problem>\n(?P<problem>.*?)\n</problem>.*<memory>\n(?P<memory>.*?)\n</memory>(.*<section>\n(?P<section>.*?)\n</section>)?",
    re.DOTALL,
)


def parts(call):
    """What stands in a prompt between its tags."""
    text = re.sub(r"<(?:user|system|assistant)>\n", "", call.prompt).replace("\n\n</", "\n</")
    found = PARTS.search(re.sub(r"\n+", "\n", text))
    return {name: value.strip() if value else value for name, value in found.groupdict().items()}


def numbering():
    """Replies ``memory 0``, ``memory 1``, ..."""
    count = iter(range(1000))
    return lambda prompt: f"memory {next(count)}"


@pytest.fixture
def ask(tmp_path):
    opened = []

    def run(replies, settings=None, text=None, question=QUESTION, window=32768, **options):
        reader = ScriptedModel(replies, name="reader", context_window=window)
        session = scripted_session(tmp_path / f"ws{len(opened)}", Models(reader=reader))
        session.counter = TokenCounter("words", exact=True, count=reader.count_tokens)
        opened.append(session)
        text = text if text is not None else plant(essay(1, 90), [FACT])
        document = session.library.documents.add(text, title="t", source="t", loader="text/1")
        values = {**SETTINGS, **(settings or {})}
        answer = session.ask(question, [document.id], graph="memory-agent", settings=values, **options)
        return answer, reader, session, document

    yield run
    for session in opened:
        session.close()


def test_each_block_is_read_once_in_a_fresh_call_and_overwrites_the_memory(ask):
    answer, reader, session, document = ask(numbering())
    text = session.library.documents.text(document.id)
    tokens = reader.count_tokens([text])[0]
    blocks = -(-tokens // 200)
    assert len(reader.calls) == answer.usage.calls == blocks + 1
    reads = [parts(call) for call in reader.calls[:-1]]
    assert all(read["problem"] == QUESTION for read in reads)
    assert reads[0]["memory"] == "There is no memory yet."
    assert [read["memory"] for read in reads[1:]] == [f"memory {i}" for i in range(blocks - 1)]
    squeezed = " ".join(text.split())
    assert squeezed.startswith(" ".join(reads[0]["section"].split()))
    assert "".join("".join(read["section"].split()) for read in reads) == "".join(text.split())
    assert all(reader.count_tokens([read["section"]])[0] == 200 for read in reads[:-1])
    for call in reader.calls[:-1]:
        order = [call.prompt.index(tag) for tag in ("<problem>", "<memory>", "<section>")]
        assert order == sorted(order)
        assert call.sampling.max_new_tokens == 50


def test_the_answer_is_written_from_the_memory_alone(ask):
    _, reader, _, _ = ask(numbering())
    last = parts(reader.calls[-1])
    assert (last["problem"], last["memory"]) == (QUESTION, f"memory {len(reader.calls) - 2}")
    assert last["section"] is None
    assert "harbour" not in reader.calls[-1].prompt


def test_every_overwritten_version_is_kept_with_its_place_and_its_parent(ask):
    answer, reader, session, _ = ask(numbering())
    kept = [r for r in session.library.records.of_run(answer.run_id) if r.agent == "rememberer"]
    assert [record.content for record in kept] == [f"memory {i}" for i in range(len(reader.calls) - 1)]
    assert all(record.kind is RecordKind.NOTE and len(record.spans) == 1 for record in kept)
    assert [list(record.parents) for record in kept] == [[], *([record.id] for record in kept[:-1])]
    steps = [step for step in session.library.runs.steps(answer.run_id) if step.node == "read"]
    memory = session.library.working_memory(answer.run_id)
    held = [[entry.record.content for entry in memory.read(step.memory_version, "note")] for step in steps]
    assert held == [[f"memory {i}"] for i in range(len(steps))]


def test_quotes_are_found_where_the_memory_came_from(ask):
    answer, _, session, document = ask(lambda prompt: "It opens with 5265.")
    text = session.library.documents.text(document.id)
    assert all(text[e.start : e.end] == e.quote and e.verified for e in answer.evidence)
    cited = answer.evidence[answer.claims[0].evidence[0]]
    assert FACT in cited.quote


def test_calls_are_as_many_as_declared(ask):
    answer, _, session, document = ask(numbering())
    other = QUESTION.replace("5265", "6").replace(
        "Ulpelhala", "Tamwenis"
    )  # of what was asked before nothing is left to do
    foretold = session.estimate(other, [(document.id, document.length)], graph="memory-agent", settings=SETTINGS)
    assert foretold.total("calls") == answer.usage.calls == answer.usage.serial_depth


def test_a_reply_may_say_that_a_block_does_not_help(ask):
    def reply(prompt):
        if "<section>" not in prompt:
            return "5265"
        return "UPDATE: yes\nMEMORY: It opens with 5265." if "5265." in prompt.split("<section>")[1] else "UPDATE: no"

    answer, reader, session, _ = ask(reply, {"skip_writes": True})
    kept = [r for r in session.library.records.of_run(answer.run_id) if r.agent == "rememberer"]
    assert [record.content for record in kept] == ["It opens with 5265."]
    assert len(reader.calls) > 3
    spans = [(e.start, e.end) for e in answer.evidence]
    assert all(kept[0].spans[0].start - 200 <= start and end <= kept[0].spans[0].end + 200 for start, end in spans)


def test_a_reply_may_say_that_the_memory_is_enough(ask):
    def reply(prompt):
        return "EXIT: yes\nMEMORY: done" if "<section>" in prompt else "done"

    answer, reader, _, _ = ask(reply, {"early_exit": True})
    assert answer.usage.calls == len(reader.calls) == 2


def test_flags_that_were_not_asked_for_do_nothing(ask):
    _, reader, session, _ = ask(lambda prompt: "UPDATE: no\nEXIT: yes\nMEMORY: kept")
    assert len(reader.calls) > 3
    record = next(
        r for r in session.library.records.of_run(session.library.runs.all()[0].id) if r.agent == "rememberer"
    )
    assert record.content.startswith("UPDATE: no")  # as published: the whole reply is the memory


def test_of_several_memories_the_one_rewritten_longest_ago_is_rewritten(ask):
    count = iter(range(1000))

    def reply(prompt):
        return f"MEMORY: version {next(count)}"

    answer, reader, session, _ = ask(reply, {"memories": 3})
    steps = [step for step in session.library.runs.steps(answer.run_id) if step.node == "read"]
    assert [step.detail["rewritten"] for step in steps] == [i % 3 for i in range(len(steps))]
    shown = parts(reader.calls[4])["memory"]
    assert re.findall(r"\[(\d)\]\s*version (\d)", shown) == [("1", "3"), ("2", "1"), ("3", "2")]
    assert "[2]" in reader.calls[4].prompt.split("</section>")[1]


def test_an_overwritten_memory_can_be_recalled(ask):
    replies = ["bees and hives", "a ferry", "a mill"]
    count = iter(range(1000))

    def reply(prompt):
        if "<section>" not in prompt:
            return "bees"
        number = next(count)
        return f"RECALL: {'hives' if number == 2 else 'none'}\nMEMORY: {replies[number] if number < 3 else 'rest'}"

    _, reader, _, _ = ask(reply, {"recall": True})
    recalled = ["<recalled>" in call.prompt for call in reader.calls[:-1]]
    assert recalled == [i == 3 for i in range(len(recalled))]
    found = re.sub(r"<user>\n|\n", "", reader.calls[3].prompt.split("<recalled>")[1].split("</recalled>")[0])
    assert found == "bees and hives"


def test_what_is_recalled_is_never_the_memory_itself(ask):
    _, reader, _, _ = ask(
        lambda prompt: "RECALL: bees\nMEMORY: bees" if "<section>" in prompt else "x", {"recall": True}
    )
    assert "<recalled>" not in reader.calls[1].prompt
    assert "<recalled>" in reader.calls[2].prompt


def test_a_reply_without_the_lines_asked_for_is_the_memory_and_is_counted(ask):
    answer, reader, _, _ = ask(lambda prompt: "just text", {"skip_writes": True})
    assert answer.usage.parse_failures == len(reader.calls) - 1
    assert parts(reader.calls[-1])["memory"] == "just text"


def test_blocks_that_do_not_fit_the_window_are_made_smaller_and_that_is_said(ask):
    answer, reader, _, _ = ask(numbering(), {"block_tokens": 5000}, window=900)
    assert len(reader.calls) > 2
    assert any("instead of 5,000" in warning for warning in answer.warnings)


def test_a_window_for_no_block_is_refused(ask):
    with pytest.raises(InputError, match="No block"):
        ask(numbering(), {"memory_tokens": 400}, window=900)


def test_an_empty_reply_empties_the_memory_as_published(ask):
    _, reader, _, _ = ask(lambda prompt: "")
    assert parts(reader.calls[1])["memory"] == "There is no memory yet."


def test_the_temperature_and_a_seed_for_each_block_are_handed_on(ask):
    _, reader, _, _ = ask(numbering(), {"temperature": 0.7, "seed": 5})
    assert [call.sampling.seed for call in reader.calls[:3]] == [5, 6, 7]
    assert {call.sampling.temperature for call in reader.calls[:-1]} == {0.7}


def test_the_last_call_of_a_budget_is_kept_for_an_answer_from_the_memory_so_far(ask):
    answer, reader, _, _ = ask(lambda prompt: "5265" if "Solve" in prompt else "read", budget=Budget(calls=3))
    assert (answer.status, answer.usage.calls, len(reader.calls)) == ("budget_spent", 3, 3)
    assert answer.answer == "5265"  # two blocks were read, and the last call was kept for the answer
    assert any("Reading ended after 2" in warning for warning in answer.warnings)


@pytest.mark.parametrize(("budget", "counts"), [(None, False), (Budget(calls=90), False), (Budget(tokens=9**9), True)])
def test_prompts_are_counted_once_more_only_where_tokens_are_short(ask, monkeypatch, budget, counts):
    counted = []
    monkeypatch.setattr(rememberer, "_tokens_due", lambda *given: counted.append(given) or 0)
    ask(numbering(), budget=budget)
    assert bool(counted) is counts


def test_a_budget_for_no_answer_ends_with_quotes_of_a_search(ask):
    answer, reader, _, _ = ask(numbering(), budget=Budget(calls=1))
    assert (answer.status, reader.calls) == ("budget_spent", [])
    assert FACT in answer.answer


def test_without_an_answer_the_quotes_of_the_memory_are_found(ask):
    answer, reader, _, _ = ask(lambda prompt: "It opens with 5265.", {"answer": False})
    assert all("<section>" in call.prompt for call in reader.calls)
    assert any(FACT in item.quote for item in answer.evidence)


def test_an_interrupted_run_reads_no_block_twice(ask, tmp_path):
    reader = ScriptedModel(lambda prompt: "memory", name="reader")
    session = scripted_session(tmp_path / "stopped", Models(reader=reader))
    text = plant(essay(1, 90), [FACT])
    document = session.library.documents.add(text, title="t", source="t", loader="text/1")
    cancel, seen = threading.Event(), []

    def listen(event):
        seen.extend([event.node] if event.kind == "step" else [])
        if seen.count("read") == 3:
            cancel.set()

    with pytest.raises(Interrupted):
        session.ask(QUESTION, [document.id], graph="memory-agent", settings=SETTINGS, listen=listen, cancel=cancel)
    before = len(reader.calls)
    answer = session.resume(session.library.runs.all()[0].id)
    assert 0 < before < len(reader.calls) == answer.usage.calls
    assert len({call.prompt for call in reader.calls}) == len(reader.calls)
    session.close()


def test_improvements_without_their_training_are_no_longer_faithful():
    graph = get_graph("memory-agent")
    labels = [graph.label(graph.settings(values)) for values in ({}, {"memories": 4}, {"recall": True})]
    assert labels == ["faithful", "analogue", "analogue"]
