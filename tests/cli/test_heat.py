"""``rereader show RUN --heat``."""

import json

import pytest

from rereader.cli.heat import heat_fields, heats_of, show_heats
from rereader.schema import InputError
from rereader.testing.sessions import scripted_session

FACT = "The strongbox of the Ulpelhala office opens with 5265."


@pytest.fixture
def session(tmp_path):
    made = scripted_session(tmp_path / "ws")
    yield made
    made.library.close()


def ask(session, graph):
    text = f"Harbour and lamp stand quiet.\n\n{FACT} Rain fell on the harbour."
    document = session.add_text(text, title="t", source="t.txt", graph=graph)
    return session.ask("What opens the strongbox of the office?", [document.id], graph=graph)


def test_the_best_sentences_are_shown_with_bars(session, capsys):
    answer = ask(session, "evidence-replay")
    found = heats_of(session.library, answer.run_id)
    show_heats(session.library, found)
    first, line, *_ = capsys.readouterr().out.splitlines()
    assert first == "round 1: 3 of 3 sentences"
    assert line.startswith("\u2588" * 20) and "\u25cf line 3: " in line and line.endswith(FACT)
    fields = heat_fields(session.library, found[0])
    assert json.loads(json.dumps(fields))["sentences"][0]["text"].strip() == FACT
    starts = [token[0] for token in fields["sentences"][0]["tokens"]]
    assert starts == sorted(starts) and FACT[starts[1] : fields["sentences"][0]["tokens"][1][1]] == "strongbox"


def test_a_run_without_scores_says_so(session):
    answer = ask(session, "retrieval")
    with pytest.raises(InputError, match="keeps no attention scores"):
        heats_of(session.library, answer.run_id)
