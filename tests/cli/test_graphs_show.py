"""``rereader graphs show``: what a graph does and what its settings mean."""

import json


def test_show_prints_idea_and_settings(command):
    code, shown, _ = command("graphs", "show", "gist-lookup")
    assert code == 0
    assert "ReadAgent" in shown and "pagination" in shown and "``" not in shown.split("--set")[1]
    told = json.loads(command("graphs", "show", "gist-lookup", "--json")[1])
    assert told["honesty"] == "faithful"
    assert {"name", "default", "values", "meaning"} <= set(told["settings"][0])


def test_an_unknown_graph_is_bad_input(command):
    code, _, said = command("graphs", "show", "gist-lockup")
    assert code == 2
    assert "Did you mean 'gist-lookup'?" in said
