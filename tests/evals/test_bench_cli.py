import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from rereader.evals.cli import _reading, bench_app
from rereader.evals.items import Item, benchmark
from rereader.schema import Answer, Document, InputError, Interrupted, Progress, Usage

SUITE = """
benchmark = "toy_for_the_command"
seeds = [0, 1]
[[systems]]
name = "bm25"
graph = "retrieval"
[[systems]]
name = "other"
graph = "other"
"""


@benchmark("toy_for_the_command")
class Toy:
    """One question for each seed."""

    name = "toy_for_the_command"

    def __init__(self, data: Path, options: Mapping[str, Any]) -> None:
        self.data = data

    def text(self, key: str) -> str:
        return "The text."

    def items(self, split: str, seed: int) -> list[Item]:
        gold = (("text", 0, 9),)
        return [Item("q", self.name, "single", "Which?", ("text",), ("text",), gold, answer_budget=5, seed=seed)]

    def data_hash(self) -> str:
        return "hash"

    def facts(self) -> dict[str, Any]:
        return {}


class OpenedWith:
    """Stands in for the session; remembers how it was opened."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.settings: list[dict[str, Any]] = []

    @contextmanager
    def open_measured(self, workspace: Path, **options: Any) -> Iterator["OpenedWith"]:
        self.options = {"workspace": workspace, **options}
        yield self

    def fingerprints(self) -> dict[str, str]:
        return {"reader": "fake"}

    def all_settings(self, graph: str, settings: dict[str, Any]) -> dict[str, Any]:
        return settings

    def add_text(self, text: str, **_: Any) -> tuple[Document, Usage]:
        return Document(id="d", title="t", source="s", length=len(text), loader="fake"), Usage()

    def ask(self, question: str, document_ids: list[str], *, graph: str, settings: dict[str, Any], **_: Any) -> Answer:
        self.settings.append(settings)
        return Answer(question=question, answer="the text", graph=graph, run_id="r")


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> OpenedWith:
    fake = OpenedWith()
    module = ModuleType("rereader.evals.opening")
    module.open_measured = fake.open_measured  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rereader.evals.opening", module)
    monkeypatch.setenv("REREADER_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(SUITE)
    (tmp_path / "docs" / "results").mkdir(parents=True)
    return fake


def run(*arguments: str) -> Any:
    return CliRunner().invoke(bench_app, list(arguments), catch_exceptions=False)


@pytest.mark.parametrize(
    "command",
    [
        ["run", "mine.toml"],
        ["attacks"],
        ["gates", "hotpotqa"],
        ["memory"],
        ["attention"],
        ["masking"],
        ["sentences", "needles"],
    ],
)
def test_outside_a_checkout_a_file_must_be_named(session: OpenedWith, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "docs" / "results").rmdir()
    with pytest.raises(InputError, match=r"There is no folder docs/results here .* --out"):
        run(*command)
    assert list((tmp_path / "docs").iterdir()) == []
    assert session.settings == []  # nothing was measured


def test_run_and_report(session: OpenedWith, tmp_path: Path) -> None:
    done = run("run", "mine.toml", "--json")
    assert done.exit_code == 0
    outcome = json.loads(done.stdout)
    assert (outcome["written"], outcome["missing"]) == (4, 0)
    assert Path(outcome["path"]) == Path("docs/results/mine-dev.jsonl")
    assert (session.options["model"], session.options["models_dir"], session.options["reader"]) == (None, None, True)
    again = run("run", "mine.toml")
    assert "0 rows written, 4 were there before" in again.stdout
    table = run("report", outcome["path"])
    assert "| bm25 | 2 |" in table.stdout
    (tmp_path / "README.md").write_text("<!-- bench:mine -->\n<!-- /bench:mine -->\n")
    assert run("report", outcome["path"], "--into", "README.md", "--marker", "mine").exit_code == 0
    assert "| bm25 | 2 |" in (tmp_path / "README.md").read_text()


def test_options_of_run(session: OpenedWith, tmp_path: Path) -> None:
    options = ["--systems", "other", "--seeds", "3,4,5", "--limit", "2", "--evidence-only", "--split", "test"]
    where = ["--out", "rows.jsonl", "--workspace", str(tmp_path / "kept"), "--model", "small"]
    (tmp_path / "kept").mkdir()
    done = run("run", "mine.toml", *options, *where, "--max-seconds", "60", "--json")
    assert json.loads(done.stdout)["written"] == 2
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()[1:]]
    assert [(row["seed"], row["system"], row["split"]) for row in rows] == [(3, "other", "test"), (4, "other", "test")]
    assert session.options["workspace"] == tmp_path / "kept"
    assert (session.options["model"], session.options["reader"]) == ("small", False)
    assert session.settings == [{"answer": False}] * 2


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["run", "nothing"], "no suite"),
        (["run", "mine.toml", "--split", "train"], "no split"),
        (["run", "mine.toml", "--seeds", "one"], "Seeds"),
        (["run", "mine.toml", "--seeds", ","], "Seeds"),
        (["run", "mine.toml", "--systems", "gone"], "no system"),
        (["report", "docs/x.jsonl", "--into", "README.md"], "belong together"),
    ],
)
def test_bad_input_is_one_clear_error(session: OpenedWith, arguments: list[str], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        run(*arguments)


def test_missing_data_is_named(session: OpenedWith, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REREADER_DATA")
    for suite in ("needles", "needles_made", "books", "multihop", "ruler", "rulerhqa", "babilong", "flenqa", "quality"):
        with pytest.raises(InputError, match="REREADER_DATA"):
            run("run", suite)
    assert run("run", "mine.toml").exit_code == 0  # this benchmark is made without data


def test_an_interrupted_run_says_where_its_rows_are(session: OpenedWith, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> Answer:
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "ask", stopped)
    with pytest.raises(Interrupted, match=r"rows\.jsonl keeps the rows so far\. The same command goes on"):
        run("run", "mine.toml", "--out", "rows.jsonl")


def test_the_bar_tells_how_far_a_text_is_read_in() -> None:
    told = Progress("index", 1_024, 4_096, tokens=10, seconds=20.0)
    assert _reading(told) == "index 1,024 of 4,096, 0:01:00 left"
    assert _reading(Progress("chunk", 0, 9)) == "chunk 0 of 9"


def test_list_names_the_packaged_suites() -> None:
    assert {"needles", "books"} <= {suite["name"] for suite in json.loads(run("list", "--json").stdout)}
    assert "memory-extract" in run("list").stdout


@pytest.mark.parametrize("command", ["run", "report", "list"])
def test_help_has_an_example(command: str) -> None:
    assert f"rereader bench {command}" in run(command, "--help").stdout
