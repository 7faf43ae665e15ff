"""Hints of errors name what their reader has: buttons and pages, tools, or a terminal that is called one."""

import re

import pytest

from rereader.server.hints import for_agent, on_page

HINTS = {
    "See 'rereader runs list'.": ("See the page of runs.", "The result of 'ask' names its run."),
    "See 'rereader documents'.": ("See the page of documents.", "See list_documents."),
    "Another process removed it; see 'rereader documents'.": (
        "Another process removed it; see the page of documents.",
        "Another process removed it; see list_documents.",
    ),
    "See 'rereader show 3f2a'.": ("See the run's page.", "See show_run."),
    "Go on with: rereader runs resume 3f2a": (
        "Go on with: Resume on the run's page.",
        "Ask again: what was computed is not computed anew.",
    ),
    "Name a file, or add one with 'rereader add'.": ("Add one on the page of documents.", None),
    "Add one with: rereader add FILE": ("Add one on the page of documents.", None),
    "Fork at --step 3 or before.": ("Fork from step 3 or before.", None),
    "--print-memory shows what the memory holds at this step.": (
        "The form of the fork shows what the memory holds at this step.",
        None,
    ),
    "Choose a local model with --role scorer=NAME.": ("Choose a local model as the scorer, under Models.", None),
    "Name a local scorer: --role scorer=NAME.": ("Name a local scorer as the scorer, under Models.", None),
    "Give its password with --password.": ("In a terminal: Give its password with --password.", None),
    "Run: rereader models pull minilm": ("In a terminal: Run: rereader models pull minilm", None),
    "Say it as ?name=novel.txt": ("Say it as ?name=novel.txt", "Say it as ?name=novel.txt"),
    "": ("", ""),
}


@pytest.mark.parametrize("hint", HINTS)
def test_a_hint_is_told_in_its_readers_words(hint):
    page, agent = HINTS[hint]
    assert on_page(hint) == page
    person = "The person whose workspace this is can mend it in a terminal: "
    assert for_agent(hint) == (agent if agent is not None else person + hint)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/runs/none", None),
        ("GET", "/api/documents/none", None),
        ("GET", "/api/runs/{run}/steps/99", None),
        ("GET", "/api/runs/{run}/memory?step=99", None),
        ("POST", "/api/runs/{run}/forks", {"step": 99}),
        ("POST", "/api/runs/{run}/forks", {"step": 5, "settings": {"chunk_tokens": 64}}),
        ("POST", "/api/runs/{run}/forks", {"step": 5, "edits": [{"kind": "drop", "record": "none"}]}),
        ("POST", "/api/runs", {"question": "Who?", "document_ids": ["none"]}),
    ],
)
def test_the_page_is_told_of_no_command(client, asked, wait_for, method, path, body):
    answer = client.request(method, path.format(run=asked[1].run_id), json=body)
    told = answer.json()
    failure = wait_for(told["job"])["error"] if "job" in told else told
    assert failure["hint"]
    assert not re.search(r"rereader [a-z]|--[a-z]", failure["hint"])
