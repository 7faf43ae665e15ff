"""Documents, chunks, vectors, records, working memory, runs: what goes in comes out, and nothing else."""

import sqlite3
import threading
from contextlib import closing
from dataclasses import fields
from itertools import accumulate
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.memory.care.collecting import Wanted, make_plan
from rereader.memory.care.depth import unheard
from rereader.memory.care.sweeping import sweep
from rereader.memory.documents import BLOCK
from rereader.memory.library import Library, Removed
from rereader.memory.runs import Call, RunHead, Step
from rereader.memory.vectors import Unit
from rereader.schema import Answer, Budget, Chunk, InputError, Record, RecordKind, Span, StoreError, Usage


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "ws") as opened:
        yield opened


def unit_vectors(rows, dimension=16, seed=0):
    matrix = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def chunk_text(document, size):
    spans = [
        Span(document_id=document.id, start=s, end=min(s + size, document.length))
        for s in range(0, document.length, size)
    ]
    return [Chunk(id=f"{i}", span=span, token_count=size, ordinal=i) for i, span in enumerate(spans)]


def cut(library, document, size=100):
    chunks = chunk_text(document, size)
    passages = [(c.ordinal, c.span.start, c.span.end, library.documents.text_of(c.span)) for c in chunks]
    return library.chunks.add(document.id, f"size={size}", chunks, passages)


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


def test_full_text_ranks_and_stems_and_knows_one_document_only(library):
    one = library.documents.add("The ferryman lodges here. " + "Nothing else. " * 50, title="a", source="a", loader="t")
    two = library.documents.add("A ferryman. " * 20, title="b", source="b", loader="t")
    first, second = cut(library, one, 26), cut(library, two, 12)
    [(best, score), *rest] = library.fulltext.search(first.id, ["lodge", 'ferry"man'], 10)
    assert library.chunks.passages_by_id(first, [best])[best].span.start == 0
    assert score > 0
    assert not rest
    assert len(library.fulltext.search(second.id, ["ferryman"], 100)) == 20
    assert library.fulltext.search(first.id, [], 10) == []
    assert library.fulltext.frequency(second.id, "ferryman") == (20, 20)


def test_coverage_is_the_share_of_the_words_whatever_the_length(library):
    parts = ["A red fox. ", "Of the blue dog nothing else is told, though the line is long, and long again. "]
    parts += ["One tan cat. "] * 9
    document = library.documents.add("".join(parts), title="a", source="a", loader="t")
    ends = list(accumulate(len(part) for part in parts))
    passages = [(0, end - len(part), end, part) for end, part in zip(ends, parts, strict=True)]
    chunking = library.chunks.add(document.id, "by hand", chunk_text(document, 10_000), passages)
    for words in (["red", "fox"], ["blue", "dog"]):
        [(_, share)] = library.fulltext.coverage(chunking.id, words, 5)
        assert share == pytest.approx(1.0, abs=0.2)
        [(_, half)] = library.fulltext.coverage(chunking.id, [words[0], "wasp"], 5)
        assert 0.3 < half < 0.6
    assert library.fulltext.coverage(chunking.id, ["wasp"], 5) == []


def by_hand(library, parts):
    """A chunking of which each part is a passage, behind another document's, and its first passage's id."""
    other = library.documents.add("Red foxes elsewhere. " * 3, title="o", source="o", loader="t")
    cut(library, other, 21)
    document = library.documents.add("".join(parts), title="a", source="a", loader="t")
    ends = list(accumulate(len(part) for part in parts))
    passages = [(0, end - len(part), end, part) for end, part in zip(ends, parts, strict=True)]
    chunking = library.chunks.add(document.id, "by hand", chunk_text(document, 10_000), passages)
    return chunking.id, library.chunks.passages(chunking)[0].id


def test_words_of_a_neighbour_count_less_than_own_ones(library):
    parts = ["The fox is red, red, red. ", "It barks. ", "A dog. ", *["One tan cat. "] * 9, "Barks, too. "]
    chunking, first = by_hand(library, parts)
    found = dict(library.fulltext.shares(chunking, ["fox", "barking"], 20, 0.5))
    shares = {identity - first: round(share, 3) for identity, share in found.items()}
    fox, bark = (library.fulltext.rarity(*library.fulltext.frequency(chunking, word)) for word in ("fox", "bark"))
    assert shares == {
        0: round((fox + bark / 2) / (fox + bark), 3),
        1: round((bark + fox / 2) / (fox + bark), 3),
        2: round(bark / 2 / (fox + bark), 3),
        11: round(bark / 2 / (fox + bark), 3),
        12: round(bark / (fox + bark), 3),
    }
    assert list(found) == sorted(found, key=lambda identity: (-found[identity], identity))
    assert len(library.fulltext.shares(chunking, ["fox", "bark"], 2, 0.5)) == 2
    assert library.fulltext.shares(chunking, ["fox"], 9, 0.0) == [(first, 1.0)]
    assert library.fulltext.shares(chunking, [], 9, 0.5) == library.fulltext.shares(chunking, ["wasp"], 9, 0.5) == []


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["fox", "dog", "cat", "owl"]), min_size=1, max_size=5), min_size=1, max_size=9),
    st.sets(st.sampled_from(["fox", "dog", "owl", "wasp"]), max_size=4),
    st.sampled_from([0.0, 0.4, 1.0]),
    st.sets(st.integers(0, 8)) | st.none(),
)
def test_shares_are_those_of_a_plain_count(tmp_path_factory, passages, words, beside, within):
    texts = [" ".join(words) + ". " for words in passages]
    with Library(tmp_path_factory.mktemp("shares")) as library:
        chunking, first = by_hand(library, texts)
        asked = None if within is None else [first + place for place in within if place < len(texts)]
        found = library.fulltext.shares(chunking, sorted(words), 99, beside, asked)
        rarity = {word: library.fulltext.rarity(*library.fulltext.frequency(chunking, word)) for word in words}
    expected = {}
    for place in range(len(texts)):
        near = [word for other in (place - 1, place + 1) if 0 <= other < len(texts) for word in passages[other]]
        worth = sum(rarity[w] * (1 if w in passages[place] else beside if w in near else 0) for w in words)
        if worth and (within is None or place in within):
            expected[first + place] = pytest.approx(worth / sum(rarity.values()))
    assert dict(found) == expected


def test_passages_of_a_chunking_are_counted_once(library, monkeypatch):
    document = library.documents.add("A ferryman. " * 20, title="b", source="b", loader="t")
    chunking = cut(library, document, 12)
    said, plain = [], library.database.rows

    def heard(sql, *rest):
        said.append(sql)
        return plain(sql, *rest)

    monkeypatch.setattr(library.database, "rows", heard)
    first, second = (library.fulltext.coverage(chunking.id, ["ferryman", "wasp"], 5) for _ in range(2))
    assert first == second
    assert sum("FROM passages WHERE chunking" in sql for sql in said) == 1


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
    assert library.remove(document.id) == Removed(runs=1, erased=True)
    assert library.documents.all() == [other]
    library.close()
    for path in library.workspace.rglob("*"):
        if path.is_file():
            content = path.read_bytes().lower()
            assert b"ulpelhala" not in content and b"strongbox" not in content, path
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
        [said] = sweep(library, make_plan(library, Wanted()), unheard)
        assert "still stands" in said and "rereader gc" in said
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
