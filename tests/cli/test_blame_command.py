"""`rereader blame`: claims with their quotes, facts with their course, and what is wrong with an argument."""

import json

import pytest

from rereader.memory.library import Library
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.models.tokens import TokenCounter
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

FACT = "The mill of Ulpelhala was sold to Tamwenis."


@pytest.fixture
def asked(command, tmp_path):
    """Id of a run without models, and the text it read."""
    book = tmp_path / "book.txt"
    book.write_text(plant(essay(1, 60), [FACT]))
    _, out, _ = command("ask", book, "To whom was the mill of Ulpelhala sold?", "--json", "--set", "decline_below=0")
    return json.loads(out)["run_id"], book.read_text()


@pytest.fixture
def remembered(workspace):
    """Id of a run that knew a fact and lost it, before it answered from memory."""
    replies = iter(["Tamwenis bought it.", "Tamwenis bought it.", "Nothing."])
    reader = ScriptedModel(
        lambda prompt: next(replies, "Nothing.") if "<section>" in prompt else "Tamwenis, at noon.",
        name="reader",
        context_window=32768,
    )
    session = scripted_session(workspace, Models(reader=reader))
    session.counter = TokenCounter("words", exact=True, count=reader.count_tokens)
    text = plant(essay(2, 60), [FACT])
    document = session.library.documents.add(text, title="t.txt", source="t", loader="text/1")
    settings = {"block_tokens": 200, "memory_tokens": 50, "decline_below": 0}
    answer = session.ask("Who bought the mill?", [document.id], graph="memory-agent", settings=settings)
    session.close()
    return answer.run_id


def test_a_claim_is_shown_with_its_quotes(command, asked):
    run, text = asked
    code, out, _ = command("blame", run[:6])
    assert code == 0 and "book.txt, line" in out and "(reason)" in out and "Tamwenis" in out
    [claim] = json.loads(command("blame", run, "--json")[1])
    assert claim["exact"] and claim["carried"] == []
    [quote] = [quote for quote in claim["quotes"] if "Tamwenis" in quote["quote"]]
    assert text[quote["start"] : quote["end"]] == quote["quote"] and quote["node"] == "reason"


def test_a_fact_is_followed_through_the_steps(command, asked, remembered):
    run, text = asked
    at = text.index("Tamwenis")
    code, out, _ = command("blame", run, "--fact", "somebody", "--at", f"{at}-{at + 8}")
    assert code == 0 and "known first after step" in out and "known at the end" in out
    code, out, _ = command("blame", run, "--fact", "Quiddle", "--fact", "Tamwenis")
    assert "never known" in out and out.count("known first after") == 1
    out = command("blame", remembered, "--fact", "Tamwenis")[1]
    assert "known first after step 2 (read)" in out and "lost by step 4 (read)" in out and "not known at the end" in out
    [course] = json.loads(command("blame", remembered, "--fact", "Tamwenis", "--json")[1])
    assert (course["first"], course["losses"], course["known_at_end"]) == (2, [4], False)
    assert [len(step["held_by"]) for step in course["steps"]][:4] == [0, 1, 1, 0]


def test_words_of_prose_are_traced_approximately_and_those_of_nowhere_are_told(command, remembered):
    code, out, _ = command("blame", remembered)
    assert code == 0 and "in none of them: " in out and "noon" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--at", "12"], "is no place"),
        (["--at", "9-3"], "has no place 9-3"),
        (["--fact", "x", "--at", "12"], "is no place"),
        (["--fact", "x", "--at", "9-3"], "has no place 9-3"),
        (["--fact", "x", "--at", "zzz:1-2"], "no document zzz"),
        (["--fact", "x", "--at", "1-99999999"], "has no place"),
        (["--fact", "?!"], "has no words"),
    ],
)
def test_bad_arguments_get_one_line(command, asked, arguments, message):
    code, out, err = command("blame", asked[0], *arguments)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1


def test_an_unknown_run(command, asked):
    code, _, err = command("blame", "ffffffff")
    assert code == 2 and "There is no run" in err


def test_a_passage_alone_is_followed(command, asked):
    run, text = asked
    at = text.index(FACT)
    code, out, _ = command("blame", run, "--at", f"book.txt:{at}-{at + len(FACT)}", "--at", "0-40")
    assert code == 0 and out.count("book.txt, characters") == 2
    assert f"characters {at}-{at + len(FACT)}" in out and "let in" in out
    assert "words live in" in out and "in memory from step" in out and "by quote)" in out
    [told, other] = json.loads(command("blame", run, "--at", f"{at}-{at + len(FACT)}", "--at", "0-40", "--json")[1])
    assert told["text"] == FACT and told["lost"] is None and told["lives_in"]
    assert [claim["exact"] for claim in told["claims"]] == [True]
    assert other["span"]["end"] == 40


def test_a_passage_that_was_lost_names_the_step(command, remembered, workspace):
    with Library(workspace) as library:
        [document] = library.runs.get(remembered).document_ids
        length = library.documents.get(document).length
    code, out, _ = command("blame", remembered, "--at", f"t.txt:0-{length}")
    assert code == 0 and "the last of it was lost by step 4" in out
    assert "tamwenis: from step 2, lost by step 4" in out
    assert "found for the answer afterwards" in out


def test_a_long_list_is_cut_and_the_terminal_is_told_where_the_rest_is(command, remembered, workspace, monkeypatch):
    monkeypatch.setattr("rereader.cli.passage._MOST", 1)
    out = command("blame", remembered, "--at", "0-3000")[1]
    assert "more; --json has them" in out
