"""Every packaged suite with all its systems, really run: generated data, real graphs, models without weights."""

import json
import re
from collections import Counter
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import pytest
from bench_data import write_data

from rereader.cli.main import run
from rereader.evals import opening
from rereader.evals.suite import load_suite, suite_names
from rereader.testing.sessions import scripted_session

LIMIT = 2
SMALL = {"tokens": "4_000", "group": "6", "lookalikes": "2", "documents": "8", "tokenizer": '"estimate"'}

FEW = {"documents": "[8, 20]", "questions": "[2, 9]", "tokens": "[0, 500]"}
"""Of the options that are lists."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder for every benchmark that a packaged suite names."""
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder


@pytest.fixture
def bench(data, tmp_path, monkeypatch, capsys):
    """``rereader bench`` in a folder of its own on scripted models: the exit code and what it printed."""

    @contextmanager
    def scripted(workspace, **_options):
        session = scripted_session(workspace)
        try:
            yield session
        finally:
            session.close()

    monkeypatch.setattr(opening, "open_session", scripted)
    monkeypatch.setenv("REREADER_DATA", str(data))
    monkeypatch.chdir(tmp_path)
    Path("docs/results").mkdir(parents=True)

    def call(*arguments):
        code = run(["bench", *map(str, arguments)])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out

    return call


def shrunk(name):
    """The suite's own file with small options, so that only the size of its texts differs."""
    content = (resources.files("rereader.evals") / "suites" / f"{name}.toml").read_text(encoding="utf-8")
    for option, value in SMALL.items():
        content = re.sub(rf"^{option} = (?!\[).*$", f"{option} = {value}", content, flags=re.MULTILINE)
    for option, values in FEW.items():
        content = re.sub(rf"^{option} = \[\d.*\]", f"{option} = {values}", content, flags=re.MULTILINE)
    return content


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_runs_with_all_its_systems_and_is_reported(bench, name):
    Path(f"{name}.toml").write_text(shrunk(name))
    suite = load_suite(f"{name}.toml")
    outcome = json.loads(bench("run", f"{name}.toml", "--limit", LIMIT, "--seeds", "0", "--json"))
    systems = [system.name for system in suite.systems]
    assert (outcome["written"], outcome["failed"]) == (LIMIT * len(systems), 0)
    rows = [json.loads(line) for line in Path(outcome["path"]).read_text().splitlines()[1:]]
    assert Counter(row["system"] for row in rows) == dict.fromkeys(systems, LIMIT)
    assert [row["system"] for row in rows] == systems * LIMIT  # item by item, so that any prefix is paired
    assert not [row["error"] for row in rows if row.get("error")]
    again = json.loads(bench("run", f"{name}.toml", "--limit", LIMIT, "--seeds", "0", "--json"))
    assert (again["written"], again["skipped"]) == (0, len(rows))
    table = bench("report", outcome["path"])
    assert all(f"| {system} | {LIMIT} |" in table for system in systems)
    plain = bench("report", outcome["path"], "--json", "--baseline", systems[0])
    assert systems[-1] in json.loads(plain)["markdown"]


def test_what_is_planted_is_found_and_measured(bench):
    Path("books.toml").write_text(shrunk("books"))
    outcome = json.loads(bench("run", "books.toml", "--systems", "no-context,bm25", "--json"))
    rows = [json.loads(line) for line in Path(outcome["path"]).read_text().splitlines()[1:]]
    recall = {
        system: [row["scores"]["evidence_recall"] for row in rows if (row["system"], row["kind"]) == (system, "single")]
        for system in ("no-context", "bm25")
    }
    assert set(recall["bm25"]) == {1.0}
    assert not any(recall["no-context"])


def timeless(path):
    """The result rows without what time, machine and chance decide."""
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
    for row in rows:
        row.pop("run_id", None)
        row.pop("wall_seconds", None)
        row.get("ingest", {}).pop("seconds", None)
        for name in [name for name in row.get("usage", {}) if name == "seconds" or "bytes" in name or "memory" in name]:
            del row["usage"][name]
    return [row for row in rows if row["row"] == "result"]


def test_two_runs_with_one_seed_give_the_same_rows_but_for_timings(bench):
    Path("suite.toml").write_text(shrunk("rulerhqa"))
    chosen = ("--systems", "retrieval,ledger,memory-agent", "--limit", LIMIT, "--seeds", "3")
    for out in ("one.jsonl", "two.jsonl"):
        bench("run", "suite.toml", *chosen, "--out", out)
    assert len(timeless("one.jsonl")) == 3 * LIMIT
    assert timeless("one.jsonl") == timeless("two.jsonl")
