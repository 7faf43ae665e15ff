"""The survival curve of a benchmark's systems, read from the runs that its rows name."""

import json

import pytest

from rereader.cli.main import run
from rereader.evals.forgetting import courses_of
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.models.tokens import TokenCounter
from rereader.runs.blame import survival
from rereader.schema import InputError
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

FACT = "The mill of Ulpelhala was sold to Tamwenis Kelgarweno for 815 ducats."
TEXT = plant(essay(1, 60), [FACT])
AT = TEXT.index(FACT)


@pytest.fixture
def bench(tmp_path):
    """A library, and a function that makes a row of a run whose memories are these."""
    session = scripted_session(tmp_path, Models())
    document = session.library.documents.add(TEXT, title="needles dev-0", source="s", loader="text/1")

    def row(system, memories, **more):
        replies = iter(memories)
        reader = ScriptedModel(
            lambda prompt: next(replies, memories[-1]) if "<section>" in prompt else "unknown",
            name="reader",
            context_window=32768,
        )
        session.models = Models(reader=reader, embedder=session.models.embedder)
        session.counter = TokenCounter("words", exact=True, count=reader.count_tokens)
        values = {"decline_below": 0, "block_tokens": 200, "memory_tokens": 60, "seed": len(memories)}
        asked = f"Who bought the mill? {system} {memories}"
        answer = session.ask(asked, [document.id], graph="memory-agent", settings=values)
        key = {"benchmark": "needles", "split": "dev", "seed": 0, "item": asked, "system": system, "settings_hash": "1"}
        heading = {"row": "result", **key, "expects": "any"}
        gold = [["dev-0", AT, AT + len(FACT)]]
        return {**heading, "answers": ["Tamwenis"], "gold": gold, "run_id": answer.run_id, **more}

    yield session.library, row
    session.close()


def test_each_system_has_its_curve(bench):
    library, row = bench
    rows = [
        row("forgetful", ["Tamwenis.", "Nothing."]),
        row("forgetful", ["Nothing.", "Tamwenis."]),
        row("faithful", ["Tamwenis."]),
        row("faithful", ["Nothing."], run_id=None),
        row("faithful", ["Nothing."], gold=[]),
    ]
    courses = courses_of(library, rows)
    assert [len(found) for found in courses.values()] == [2, 1]
    assert courses["forgetful"][0].losses and courses["forgetful"][1].known_at_end
    curves = {system: survival(found) for system, found in courses.items()}
    assert curves["forgetful"][:2] == (1.0, 0.5) and set(curves["faithful"]) == {1.0}


def test_any_wording_will_do_and_of_all_answers_each_is_a_fact(bench):
    library, row = bench
    memories = ["Kelgarweno.", "Tamwenis."]
    names = {"answers": ["Tamwenis", "Kelgarweno"]}
    (one,) = courses_of(library, [row("s", memories, **names)])["s"]
    assert one.known_at_end and not one.losses
    first, second = courses_of(library, [row("s", memories, **names, expects="all")])["s"]
    assert first.known_at_end and second.losses and not second.known_at_end


def test_a_quote_counts_where_its_span_holds_the_answer(bench):
    library, row = bench
    made = row("quoting", ["Nothing."])
    [identity] = library.runs.get(made["run_id"]).document_ids
    session = scripted_session(library.workspace, Models())
    answer = session.ask(FACT, [identity], graph="retrieval", settings={"decline_below": 0})
    gold = [["dev-0", AT, AT + len(FACT)]]
    (known,) = courses_of(library, [{**made, "run_id": answer.run_id, "gold": gold}])["quoting"]
    assert known.known_at_end
    beside = {**made, "run_id": answer.run_id, "answers": ["Quiddle"]}
    (other,) = courses_of(library, [beside])["quoting"]
    assert other.first is None, "a span that does not hold the answer is no knowledge of it"
    session.close()


def test_a_run_that_is_not_in_the_workspace_is_told(bench):
    library, row = bench
    with pytest.raises(InputError, match="no run"):
        courses_of(library, [row("s", ["Nothing."], run_id="f" * 12)])


def test_the_command_makes_the_table(bench, tmp_path, capsys):
    library, row = bench
    rows = [row("forgetful", ["Tamwenis.", "Nothing."]), row("faithful", ["Tamwenis."])]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    arguments = ["bench", "forgetting", str(path), "--workspace", str(library.workspace)]
    assert run(arguments) == 0
    heading, _, *lines = capsys.readouterr().out.splitlines()
    assert heading.startswith("| system | facts | known once | known at the end | after 1 |")
    assert lines[0].startswith("| forgetful | 1 | 1 | 0 | 0.00 |")
    assert lines[1].startswith("| faithful | 1 | 1 | 1 | 1.00 |")
    assert run([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["survival"][:2] for one in found] == [[1.0, 0.0], [1.0, 1.0]]
