"""Documents, chunks, vectors, records, working memory, runs: what goes in comes out, and nothing else."""

import sqlite3
import threading
from contextlib import closing
from dataclasses import fields
from random import Random

import numpy as np
import pytest
from cutting import cut
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.memory.care.collecting import Wanted, make_plan
from rereader.memory.care.depth import unheard
from rereader.memory.care.sweeping import sweep
from rereader.memory.documents import BLOCK
from rereader.memory.library import Library, Removed
from rereader.memory.runs import Call, RunHead, Step
from rereader.memory.vectors import Unit
from rereader.schema import Answer, Budget, InputError, Record, RecordKind, Span, StoreError, Usage


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "ws") as opened:
        yield opened


def unit_vectors(rows, dimension=16, seed=0):
    matrix = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_any_slice_of_any_text_comes_back(data, tmp_path_factory):
    body = data.draw(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
    text = "x" + body * (1 + 3 * BLOCK // len(body) if data.draw(st.booleans()) else 1)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    with Library(tmp_path_factory.mktemp("ws")) as library:
        document = library.documents.add(text, title="t", source="s", loader="text/1")
        assert library.documents.slice(document.id, start, end) == text[start:end]
        assert library.documents.text(document.id) == text


def test_the_same_text_is_one_document_and_another_loader_another(library):
    first = library.documents.add("bees", title="t", source="s", loader="text/1")
    assert library.documents.add("bees", title="other", source="elsewhere", loader="text/1") == first
    assert library.documents.add("bees", title="t", source="s", loader="text/2").id != first.id
    assert len(library.documents.all()) == 2


def test_documents_are_found_by_prefix_and_title(library):
    document = library.documents.add("bees", title="hives", source="s", loader="text/1")
    assert library.documents.get(document.id[:8]) == document
    assert library.documents.get("hives") == document
    with pytest.raises(InputError, match="no document"):
        library.documents.get("wasps")


def test_vector_search_equals_plain_dot_products(library):
    document = library.documents.add("x" * 3000, title="t", source="s", loader="t")
    chunking = cut(library, document, 10)
    space = library.vectors.space(chunking, "raw", "e")
    matrix = unit_vectors(300)
    for start in range(0, 300, 64):
        part = matrix[start : start + 64]
        library.vectors.add(space, start, [Unit(start + i, 0, 1) for i in range(len(part))], part)
    space = library.vectors.finish(space)
    queries = unit_vectors(5, seed=1)
    for query, hits in zip(queries, library.vectors.search(space, queries, 10), strict=True):
        expected = np.argsort(-(matrix @ query))[:10]
        assert [hit.unit.chunk for hit in hits] == expected.tolist()
        assert np.allclose([hit.score for hit in hits], np.sort(matrix @ query)[::-1][:10], atol=1e-6)


@pytest.mark.parametrize("damage", ["missing", "garbage", "stale"])
def test_a_damaged_index_is_rebuilt_from_the_table(library, damage):
    document = library.documents.add("x" * 100, title="t", source="s", loader="t")
    space = library.vectors.space(cut(library, document, 10), "raw", "e")
    matrix = unit_vectors(10)
    library.vectors.add(space, 0, [Unit(i, 0, 1) for i in range(10)], matrix)
    space = library.vectors.finish(space)
    [path] = (library.workspace / "index").glob("*.faiss")
    if damage == "stale":
        library.vectors.add(space, 10, [Unit(10, 0, 1)], unit_vectors(1, seed=7))
        matrix = np.vstack([matrix, unit_vectors(1, seed=7)])
    elif damage == "garbage":
        path.write_bytes(b"not an index")
    else:
        path.unlink()
    with Library(library.workspace) as again:
        hits = again.vectors.search(space, matrix[-1:], 1)[0]
    assert hits[0].ordinal == len(matrix) - 1
    assert path.stat().st_size > 100


def test_hnsw_finds_what_flat_search_finds(library, monkeypatch):
    monkeypatch.setattr("rereader.memory.shards.FLAT_LIMIT", 500)
    document = library.documents.add("x" * 30_000, title="t", source="s", loader="t")
    space = library.vectors.space(cut(library, document, 10), "raw", "e")
    matrix = unit_vectors(3000, dimension=32)
    library.vectors.add(space, 0, [Unit(i, 0, 1) for i in range(3000)], matrix)
    space = library.vectors.finish(space)
    queries = unit_vectors(50, dimension=32, seed=3)
    found = library.vectors.search(space, queries, 20)
    recall = [
        len({hit.unit.chunk for hit in hits} & set(np.argsort(-(matrix @ q))[:20].tolist())) / 20
        for q, hits in zip(queries, found, strict=True)
    ]
    assert np.mean(recall) >= 0.98


def record(library, content="note", run="r", **fields):
    made = Record.create(run_id=run, kind=RecordKind.NOTE, content=content, agent="a", **fields)
    library.records.add([made])
    return made


def test_records_are_written_once_and_come_back_whole(library):
    spans = [Span(document_id="d", start=1, end=4), Span(document_id="d", start=9, end=9)]
    made = record(library, spans=spans, parents=["p"], step=3, ordinal=2)
    record(library, spans=spans, parents=["p"], step=3, ordinal=2)
    assert library.records.of_run("r") == [made]
    assert library.records.get([made.id]) == [made]


def test_working_memory_keeps_every_version(library):
    ledger = library.working_memory("r")
    library.runs.create("r", question="q", graph="g", settings={}, models={}, budget=Budget(), document_ids=[])
    one, two, three = (record(library, str(i)) for i in range(3))
    first = ledger.write(0, [("quote", one), ("note", two)])
    again = ledger.write(0, [("quote", one), ("note", two)])  # a node that ran twice
    second = ledger.write(first, [("quote", three)], dropped=[one])
    assert (first, again, second) == (1, 1, 2)
    assert [entry.record for entry in ledger.read(1)] == [one, two]
    assert [entry.record for entry in ledger.read(2)] == [two, three]
    assert [entry.record for entry in ledger.read(2, "quote")] == [three]
    assert ledger.read(0) == []
    assert ledger.write(second) == second


def test_runs_and_steps_come_back(library):
    library.runs.create(
        "abcdef", question="q", graph="g", settings={"k": 1}, models={}, budget=Budget(tokens=5), document_ids=["d"]
    )
    call = Call("reader", "generate", "t@1", {"q": [{"text": "x"}]}, "sha", "reply", 3, 2, cached=False)
    step = Step(1, "gate", 0.0, 0.5, 0, {"decisions": [[0, 1, 0.5, None, True]]}, Usage(calls=1), (call,))
    library.runs.add_step("abcdef", step, Usage(calls=1))
    library.runs.add_step("abcdef", step, Usage(calls=1))
    assert library.runs.steps("abcdef") == [step]
    run = library.runs.get("abcd")
    assert (run.settings, run.budget.tokens, run.document_ids, run.usage.calls) == ({"k": 1}, 5, ("d",), 1)
    with pytest.raises(InputError):
        library.runs.get("zzzz")


def test_a_listed_run_says_what_the_run_says(library):
    asked = {"graph": "g", "settings": {}, "models": {}, "budget": Budget()}
    library.runs.create("one", question="Who?", document_ids=["b", "a"], **asked)
    library.runs.create("two", question="And who else?", document_ids=[], parent="one", forked_at=2, **asked)
    said = Answer(question="Who?", answer='"Kormel"\n', graph="g", run_id="one")
    library.runs.add_step("one", Step(1, "gate", 0.0, 0.5, 0, {}, Usage()), Usage(calls=3), said)
    library.runs.update("two", status="failed", failure="No model.")
    listed, whole = library.runs.listed(), library.runs.all()
    for name in (field.name for field in fields(RunHead)):
        assert [getattr(run, name) for run in listed] == [getattr(run, name) for run in whole]
    assert [run.said for run in listed] == [run.answer and run.answer.answer for run in whole] == [None, '"Kormel"\n']


def test_remove_leaves_no_byte_of_the_document_behind(library):
    secret = "Ulpelhala-strongbox-5265"
    rng = Random(1)
    text = " ".join(rng.choice(["sea", "ice", secret]) for _ in range(3000))
    document = library.documents.add(text, title="t", source="s", loader="t")
    other = library.documents.add("A quiet text that stays.", title="o", source="o", loader="t")
    chunking = cut(library, document, 500)
    space = library.vectors.space(chunking, "raw", "e")
    library.vectors.add(space, 0, [Unit(0, 0, 9)], unit_vectors(1))
    library.vectors.finish(space)
    gist = Record.create(run_id=document.id, kind=RecordKind.GIST, content=secret, agent="gister")
    library.records.add_gists(chunking, "extract", [(0, gist)])
    library.calls.put("generate", {"key": secret.encode()}, [document.id])
    library.runs.create(
        "run", question=secret, graph="g", settings={}, models={}, budget=Budget(), document_ids=[document.id]
    )
    library.working_memory("run").write(0, [("quote", record(library, secret, run="run"))])
    library.checkpoint_path("run").write_text(secret)
    kept = library.kept_text([other.id, document.id], "0123456789abcdef")
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(secret)
    kept.with_name(f"{kept.name}.1f2e3d4c.part").write_text(secret)
    others = library.kept_text([other.id], "0123456789abcdef").with_suffix(".safetensors.1f2e3d4c.part")
    others.write_text("quiet")
    assert library.remove(document.id) == Removed(runs=1, erased=True)
    assert library.documents.all() == [other]
    library.close()
    for path in library.workspace.rglob("*"):
        if path.is_file():
            content = path.read_bytes().lower()
            assert b"ulpelhala" not in content and b"strongbox" not in content, path
    assert others.exists()
    with Library(library.workspace) as again:
        assert [row["id"] for row in again.database.rows("SELECT id FROM tombstones ORDER BY id")] == sorted(
            [document.id, "run"]
        )


def holding(library, secret):
    """Files of a workspace that hold some text."""
    return [path.name for path in library.workspace.rglob("*") if path.is_file() and secret in path.read_bytes()]


@pytest.mark.parametrize("vacuum", [True, False])
def test_a_text_that_another_process_still_reads_is_not_called_gone(library, vacuum, monkeypatch):
    secret = "Ulpelhala-strongbox-5265"
    document = library.documents.add(f"{secret} " * 5000, title="t", source="s", loader="t")
    if not vacuum:
        connection = library.database._connection

        class Full:
            def execute(self, statement, *given):
                if statement == "VACUUM":
                    raise sqlite3.OperationalError("database or disk is full")
                return connection.execute(statement, *given)

        monkeypatch.setattr(library.database, "_connection", Full())
    with closing(sqlite3.connect(library.database.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM documents").fetchone()
        assert library.remove(document.id) == Removed(runs=0, erased=False)
        assert holding(library, secret.encode())
        *_, said = sweep(library, make_plan(library, Wanted()), unheard)
        assert "may still stand" in said and "rereader gc" in said
    if vacuum:
        sweep(library, make_plan(library, Wanted()), unheard)
    else:
        assert library.erase()
    assert holding(library, secret.encode()) == []


def test_many_threads_write_without_losing_anything(library):
    def work(number):
        for i in range(20):
            record(library, f"{number}-{i}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(library.records.of_run("r")) == 160


def test_a_transaction_that_fails_keeps_nothing(library):
    with pytest.raises(RuntimeError), library.database.transaction():
        record(library, "lost")
        raise RuntimeError
    assert library.records.of_run("r") == []


def test_a_workspace_of_a_newer_version_is_refused(tmp_path):
    with Library(tmp_path) as library:
        library.database.execute("PRAGMA user_version=99")
    with pytest.raises(StoreError, match="newer"):
        Library(tmp_path)


def test_a_damaged_database_is_named(tmp_path):
    (tmp_path / "library.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreError, match="damaged"):
        Library(tmp_path)


def test_a_workspace_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="Cannot write"):
        Library(tmp_path / "file" / "ws")


def test_a_full_disk_is_named_and_leaves_nothing_half_written(library):
    [pages] = library.database.rows("PRAGMA page_count")
    library.database.rows(f"PRAGMA max_page_count={pages[0] + 20}")
    with pytest.raises(StoreError, match="No space left"):
        library.documents.add("x" * 1_000_000, title="t", source="s", loader="t")
    library.database.rows("PRAGMA max_page_count=1000000")
    assert library.documents.all() == []
    assert library.database.rows("SELECT * FROM text_blocks") == []


def test_a_wrong_use_of_the_database_is_not_called_a_fault_of_the_file(tmp_path):
    with Library(tmp_path / "ws") as library:
        with pytest.raises((sqlite3.ProgrammingError, sqlite3.InterfaceError)):
            library.database.rows("SELECT ?", (object(),))
        with pytest.raises(sqlite3.ProgrammingError):
            library.database.execute("DELETE FROM calls WHERE key = ?", ())
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        library.documents.all()


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("attempt to write a readonly database", "--workspace"),
        ("unable to open database file", "--workspace"),
        ("database is locked", "Another process"),
        ("something new", "failed"),
    ],
)
def test_errors_of_the_database_become_one_clear_line(tmp_path, reason, words):
    import sqlite3

    from rereader.memory.database import translated

    with pytest.raises(StoreError, match=words) as caught, translated(tmp_path / "library.db"):
        raise sqlite3.OperationalError(reason)
    assert "\n" not in str(caught.value)
