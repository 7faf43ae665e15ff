import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rereader.evals import environment as machine
from rereader.evals.environment import describe_commit, describe_environment
from rereader.evals.harness import Outcome, run_bench
from rereader.evals.items import Item
from rereader.evals.rows import read_rows
from rereader.evals.suite import System
from rereader.schema import Answer, Budget, Document, Evidence, InputError, Interrupted, Progress, StoreError, Usage
from rereader.schema.types import Match

SYSTEMS = [
    System(name="good", graph="find", settings={"evidence_words": 20}),
    System(name="poor", graph="miss", settings={"evidence_words": 20}),
]


class ToyBench:
    """Four questions on a text that the seed makes; the last asks for what is not there."""

    name = "toy"

    def text(self, key: str) -> str:
        return " ".join(f"The colour of thing {n} is {key}{n}." for n in range(3)) + " The end."

    def items(self, split: str, seed: int) -> Iterator[Item]:
        key = f"{split}{seed}"
        text = self.text(key)
        for n in range(4):
            sentence = f"The colour of thing {n} is {key}{n}."
            start = text.find(sentence)
            yield Item(
                id=f"q{n}",
                benchmark=self.name,
                kind="absent" if n == 3 else "single",
                question=sentence.removesuffix(f"{key}{n}."),
                answers=(f"{key}{n}",),
                documents=(key,),
                gold=() if n == 3 else ((key, start, start + len(sentence)),),
                answer_budget=20,
                expects="decline" if n == 3 else "any",
                seed=seed,
            )

    def data_hash(self) -> str:
        return "toydata"

    def facts(self) -> dict[str, Any]:
        return {"size": 4}


class FakeSession:
    """Graph ``find`` quotes the sentence that starts like the question, ``miss`` the text's end."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.added: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.models = {"reader": "fake/1"}
        self.defaults: dict[str, Any] = {}
        self.error: Exception | None = None
        self.fail_at: int | None = None

    def fingerprints(self) -> Mapping[str, str]:
        return self.models

    def all_settings(self, graph: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**self.defaults, **settings}

    def add_text(
        self, text: str, *, title: str, source: str, graph: str, settings: Mapping[str, Any]
    ) -> tuple[Document, Usage]:
        identity = hashlib.sha256(text.encode()).hexdigest()
        self.texts[identity] = text
        self.added.append((title, dict(settings)))
        document = Document(id=identity, title=title, source=source, length=len(text), loader="fake/1")
        return document, Usage(prompt_tokens=50, calls=2, embedded_tokens=9)

    def ask(
        self,
        question: str,
        document_ids: Sequence[str],
        *,
        graph: str,
        settings: Mapping[str, Any],
        budget: Budget,
    ) -> Answer:
        if self.fail_at == len(self.asked) and self.error:
            self.fail_at = None
            raise self.error
        self.asked.append((question, graph, dict(settings)))
        (identity,) = document_ids
        text = self.texts[identity]
        start = text.find(question) if graph == "find" else text.rfind("The end.")
        end = text.find(".", start) + 1
        declined = start < 0
        evidence = [] if declined else [self._evidence(identity, start, end, text)]
        return Answer(
            question=question,
            answer="" if declined else text[start:end],
            evidence=evidence,
            declined=declined,
            confidence=0.1 if declined else 0.9,
            graph=graph,
            models={"reader": "fake"},
            run_id=f"run{len(self.asked)}",
            usage=Usage(prompt_tokens=7, completion_tokens=3, calls=1, serial_depth=2, seconds={"read": 0.5}),
        )

    def _evidence(self, identity: str, start: int, end: int, text: str) -> Evidence:
        quote = text[start:end]
        match = Match.EXACT
        return Evidence(
            document="toy", document_id=identity, start=start, end=end, quote=quote, match=match, verified=True
        )


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


def bench(session: FakeSession, out: Path, systems: Sequence[System] = SYSTEMS, **more: Any) -> Outcome:
    @contextmanager
    def opened(folder: Path) -> Iterator[FakeSession]:
        assert folder.is_dir()
        yield session

    options: dict[str, Any] = {"split": "dev", "seeds": [0, 1], **more}
    return run_bench(ToyBench(), systems, out=out, session_factory=opened, **options)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [row for row in read_rows(path) if row["row"] == "result"]


def test_a_row_for_each_item_and_system(session: FakeSession, tmp_path: Path) -> None:
    outcome = bench(session, tmp_path / "rows.jsonl")
    assert (outcome.written, outcome.skipped, outcome.failed, outcome.missing) == (16, 0, 0, 0)
    rows = rows_of(outcome.path)
    order = [(row["seed"], row["item"], row["system"]) for row in rows]
    assert order == [(s, f"q{n}", name) for s in (0, 1) for n in range(4) for name in ("good", "poor")]
    first = rows[0]
    assert first["scores"]["evidence_recall"] == first["scores"]["right"] == first["scores"]["contained"] == 1.0
    assert rows[1]["scores"]["evidence_recall"] == rows[1]["scores"]["right"] == 0.0
    assert rows[6]["scores"]["right"] == 1.0 and rows[6]["declined"]
    assert rows[7]["scores"]["right"] == 0.0
    assert first["usage"]["serial_depth"] == 2
    assert first["usage"]["seconds"] == {"read": 0.5}
    assert first["settings"] == {"evidence_words": 20}
    assert (first["confidence"], first["evidence_false"], first["models"]) == (0.9, 0, {"reader": "fake"})
    assert first["evidence"] == first["gold"]
    paid = [row["ingest"] for row in rows]
    assert [one["tokens"] for one in paid] == [50, 50, 0, 0, 0, 0, 0, 0] * 2
    assert (paid[0]["calls"], paid[0]["embedded_tokens"], paid[2]["seconds"]) == (2, 9, 0.0)


def test_the_first_line_describes_the_environment(session: FakeSession, tmp_path: Path) -> None:
    outcome = bench(session, tmp_path / "rows.jsonl")
    environment = json.loads(outcome.path.read_text().splitlines()[0])
    assert environment["row"] == "environment"
    wanted = {
        "platform",
        "cpus",
        "cpu_units",
        "python",
        "packages",
        "commit",
        "dirty",
        "models",
        "data_hash",
        "settings_hash",
        "date",
    }
    assert wanted <= set(environment)
    assert environment["models"] == {"reader": "fake/1"}
    assert environment["systems"]["good"]["graph"] == "find"
    assert "numpy" in environment["packages"]


def test_each_system_gets_a_text_once_with_its_settings(session: FakeSession, tmp_path: Path) -> None:
    bench(session, tmp_path / "rows.jsonl")
    assert sorted(title for title, _ in session.added) == ["toy dev0"] * 2 + ["toy dev1"] * 2
    assert all(settings == {"evidence_words": 20} for _, settings in session.added)


def test_a_second_run_measures_nothing(session: FakeSession, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    bench(session, out)
    before = out.read_bytes()
    outcome = bench(session, out)
    assert (outcome.written, outcome.skipped) == (0, 16)
    assert out.read_bytes() == before
    assert len(session.asked) == 16


@pytest.mark.parametrize("kept_lines", [1, 2, 7, 16])
def test_a_killed_run_goes_on_where_it_stopped(session: FakeSession, tmp_path: Path, kept_lines: int) -> None:
    out = tmp_path / "rows.jsonl"
    bench(session, out)
    lines = out.read_bytes().splitlines(keepends=True)
    wanted = [(row["seed"], row["item"], row["system"]) for row in rows_of(out)]
    out.write_bytes(b"".join(lines[:kept_lines]) + lines[kept_lines][:30])
    session.asked.clear()
    outcome = bench(session, out)
    assert outcome.written == len(session.asked) == 17 - kept_lines
    assert outcome.skipped == kept_lines - 1
    assert [(row["seed"], row["item"], row["system"]) for row in rows_of(out)] == wanted


def test_other_settings_or_models_are_measured_anew(session: FakeSession, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    bench(session, out)
    changed = [SYSTEMS[0].with_settings({"evidence_words": 10}), SYSTEMS[1]]
    assert bench(session, out, changed).written == 8
    session.models = {"reader": "fake/2"}
    assert bench(session, out).written == 16
    assert bench(session, out, budget=Budget(calls=5)).written == 16


def test_rows_of_other_defaults_are_measured_anew_and_told_of(session: FakeSession, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    assert bench(session, out).older == 0
    session.defaults = {"beside": 0.6}
    outcome = bench(session, out)
    assert (outcome.written, outcome.skipped, outcome.older) == (16, 0, 16)
    environments = [json.loads(line) for line in out.read_text().splitlines() if '"row": "environment"' in line]
    assert [one["systems"]["good"]["settings"].get("beside") for one in environments] == [None, 0.6]
    again = bench(session, out)
    assert (again.written, again.skipped, again.older) == (0, 16, 16)


def test_time_spent_leaves_whole_items(session: FakeSession, tmp_path: Path) -> None:
    ticks = iter(range(1000))
    out = tmp_path / "rows.jsonl"
    outcome = bench(session, out, max_seconds=4, clock=lambda: float(next(ticks)))
    assert 0 < outcome.written < 16
    assert outcome.missing == 16 - outcome.written
    systems = [row["system"] for row in rows_of(out)]
    assert systems == ["good", "poor"] * (len(systems) // 2)
    assert bench(session, out).written == outcome.missing
    assert bench(session, tmp_path / "none.jsonl", max_seconds=0).written == 0


def test_cancelling_stops_before_the_next_question(session: FakeSession, tmp_path: Path) -> None:
    outcome = bench(session, tmp_path / "rows.jsonl", cancel=lambda: len(session.asked) >= 3)
    assert (outcome.written, outcome.missing) == (3, 13)


def test_limit_takes_the_first_items_of_all_systems(session: FakeSession, tmp_path: Path) -> None:
    outcome = bench(session, tmp_path / "rows.jsonl", limit=5)
    assert outcome.written == 10
    assert {(row["seed"], row["item"]) for row in rows_of(outcome.path)} == {(0, f"q{n}") for n in range(4)} | {
        (1, "q0")
    }


@pytest.mark.parametrize("error", [InputError("Too long.", "Cut it."), ZeroDivisionError("oh")])
def test_a_failed_call_is_a_wrong_answer(session: FakeSession, tmp_path: Path, error: Exception) -> None:
    session.error, session.fail_at = error, 2
    outcome = bench(session, tmp_path / "rows.jsonl")
    assert (outcome.written, outcome.failed) == (16, 1)
    failed = rows_of(outcome.path)[2]
    assert failed["status"] == "failed"
    assert failed["error"] == {"type": type(error).__name__, "message": str(error)}
    assert (failed["scores"]["right"], failed["scores"]["evidence_recall"], failed["declined"]) == (0.0, 0.0, None)
    assert set(rows_of(outcome.path)[0]) - set(failed) <= {
        "run_id",
        "warnings",
        "evidence_false",
        "evidence_unverified",
    }


@pytest.mark.parametrize("error", [Interrupted("Stopped."), StoreError("No space left."), KeyboardInterrupt()])
def test_what_is_not_the_systems_fault_stops_the_run(session: FakeSession, tmp_path: Path, error: Exception) -> None:
    session.error, session.fail_at = error, 3
    with pytest.raises(type(error)):
        bench(session, tmp_path / "rows.jsonl")
    assert len(rows_of(tmp_path / "rows.jsonl")) == 3
    assert bench(session, tmp_path / "rows.jsonl").written == 13


def test_without_a_reader_only_evidence_is_scored(session: FakeSession, tmp_path: Path) -> None:
    outcome = bench(session, tmp_path / "rows.jsonl", reader=False)
    assert all(settings["answer"] is False for _, _, settings in session.asked)
    row = rows_of(outcome.path)[0]
    assert row["scores"]["evidence_recall"] == 1.0
    assert "right" not in row["scores"]
    assert row["declined"] is None
    assert bench(session, outcome.path).written == 16  # with a reader these are other measurements


def test_a_text_that_the_session_changed_stops_the_run(session: FakeSession, tmp_path: Path) -> None:
    kept = session.add_text
    session.add_text = lambda text, **more: kept(text.replace(" ", ""), **more)  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="changed the text"):
        bench(session, tmp_path / "rows.jsonl")


def test_a_false_quote_is_counted(session: FakeSession, tmp_path: Path) -> None:
    kept = session._evidence
    session._evidence = lambda *a: kept(*a).model_copy(update={"quote": "Other words."})  # type: ignore[method-assign]
    row = rows_of(bench(session, tmp_path / "rows.jsonl", limit=1).path)[0]
    assert row["evidence_false"] == 1


def test_unverified_evidence_is_no_evidence(session: FakeSession, tmp_path: Path) -> None:
    kept = session._evidence
    session._evidence = lambda *a: kept(*a).model_copy(update={"verified": False})  # type: ignore[method-assign]
    row = rows_of(bench(session, tmp_path / "rows.jsonl", limit=1).path)[0]
    assert (row["scores"]["evidence_recall"], row["evidence"], row["evidence_unverified"]) == (0.0, [], 1)


def test_evidence_past_the_word_limit_does_not_count(session: FakeSession, tmp_path: Path) -> None:
    narrow = [SYSTEMS[0].with_settings({"evidence_words": 2})]
    row = rows_of(bench(session, tmp_path / "rows.jsonl", narrow, limit=1).path)[0]
    assert row["scores"]["evidence_recall"] == 0.0
    assert row["scores"]["evidence_words"] == 7


def test_progress_counts_what_is_left_to_measure(session: FakeSession, tmp_path: Path) -> None:
    bench(session, tmp_path / "rows.jsonl", limit=3)
    seen: list[Progress] = []
    bench(session, tmp_path / "rows.jsonl", progress=seen.append)
    assert [one.done for one in seen] == list(range(1, 11))
    assert {one.total for one in seen} == {10}
    assert seen[-1].tokens == 100


def test_a_given_workspace_is_kept(session: FakeSession, tmp_path: Path) -> None:
    folders: list[Path] = []

    @contextmanager
    def opened(folder: Path) -> Iterator[FakeSession]:
        (folder / "library.db").write_text("x")
        folders.append(folder)
        yield session

    mine = tmp_path / "mine"
    mine.mkdir()
    for workspace in (mine, None):
        out = tmp_path / f"{workspace is None}.jsonl"
        run_bench(ToyBench(), SYSTEMS, split="dev", seeds=[0], out=out, session_factory=opened, workspace=workspace)
    assert [folder.exists() for folder in folders] == [True, False]


def test_the_commit_of_a_folder_outside_git(tmp_path: Path) -> None:
    assert describe_commit(tmp_path) == {"commit": None, "dirty": None}
    assert describe_environment()["packages"]


def test_what_every_core_can_compute_with_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine, "_CPU_FACTS", facts)
    assert machine.cpu_units() is None
    facts.write_text("processor : 0\nflags\t\t: fpu avx2 amx_bf16\n\nprocessor : 1\nflags\t\t: fpu avx2 avx512f\n")
    assert machine.cpu_units() == ["avx2"]
    facts.write_text("Features\t: fp asimd bf16\n")
    assert machine.cpu_units() == ["asimd", "bf16"]
    facts.write_text("")
    assert machine.cpu_units() == []
