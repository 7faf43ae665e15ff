"""Blocks in runs: made once, charged once, told of, kept under a limit, made again where they are gone."""

from dataclasses import replace

import pytest
from block_runs import FACTS, QUESTION, SETTINGS, TEXT, Asking, a_reader, lets_in
from filelock import FileLock

from rereader.agents import block_maker
from rereader.agents.block_maker import identity_of
from rereader.agents.compressor import compress_cost
from rereader.agents.costs import DocumentFacts, Facts
from rereader.agents.gate import gate_cost
from rereader.cli.display import what
from rereader.graphs.registry import get_graph
from rereader.memory.invariants import check_library
from rereader.memory.library import Library
from rereader.models.hashing import HashingEmbedder
from rereader.models.kvmemory import MEMORY_TOKENS_FILE, UnusableBlock
from rereader.models.roles import Models
from rereader.models.tokens import estimate_counter
from rereader.runs.session import Session
from rereader.schema import Budget, StoreError
from rereader.testing.texts import essay, plant

FORMS = [{"reads": "kv"}, {"reads": "both"}, {"reads": "kv", "order": "scan"}, {"reads": "both", "order": "scan"}]
NAMES = ["waves-kv", "waves-both", "scan-kv", "scan-both"]


def files(asked):
    return sorted((asked.library.workspace / "kv").rglob("*.safetensors"))


def compressed(asked):
    return [
        call for model in (asked.reader, asked.scorer) if model for call in model.calls if "compress" in call.method
    ]


def again(asked, settings, **more):
    """Ask once more in the same workspace."""
    asking = Asking(asked.library.workspace.parent)
    return asking(settings, session=asked.session, scorer=asked.scorer, **more)


@pytest.mark.parametrize("form", FORMS, ids=NAMES)
def test_blocks_are_made_once_and_charged_to_who_makes_them(ask, form):
    asked = ask(form, scorer=lets_in(["Ulpelhala"]))
    step = asked.step("compress")
    chunks = len(step.calls)
    assert chunks == len(compressed(asked)) == len(files(asked)) == step.detail["compressed"].popitem()[1]
    assert step.usage.calls == chunks and step.usage.serial_depth == -(-chunks // 16)
    assert step.usage.prompt_tokens == sum(call.prompt_tokens for call in step.calls) > 60 * (chunks - 1)
    assert {call.method for call in step.calls} == {"compress"}
    assert all(call.slots["text"][0]["span"][0] == asked.answer.evidence[0].document_id for call in step.calls)
    assert any("of compressed memories are kept" in text for text in asked.answer.warnings)
    assert [work["kind"] for work in step.detail["work"]].count("score") == -(-chunks // 16)
    second = again(asked, form)
    assert second.step("compress").usage.calls == 0
    assert len(compressed(asked)) == chunks
    assert not any("compressed memories" in text for text in second.answer.warnings)
    assert second.answer.answer == asked.answer.answer


def test_what_was_read_is_told_by_show_and_names_the_blocks(ask):
    asked = ask({"reads": "kv", "accept": 3})
    read = asked.step("answer").detail["blocks"]
    assert f"read the compressed memories of chunks {', '.join(str(c) for _, c in read)}" in what(asked.step("answer"))
    [call] = asked.step("answer").calls
    digests = {r.content for r in asked.library.records.of_run(asked.answer.evidence[0].document_id)}
    assert len(call.slots["memory"][0]["kv"]) == 3 and set(call.slots["memory"][0]["kv"]) <= digests
    assert "read the compressed memories" in what(asked.step("read"))


@pytest.mark.parametrize(
    ("read", "told"), [([[0, 3], [0, 5]], "3, 5"), ([[0, 3], [1, 5]], "1:3, 2:5"), ([[1, 3], [1, 5]], "2:3, 2:5")]
)
def test_the_document_is_told_unless_it_is_the_first(ask, read, told):
    step = replace(ask({"reads": "kv"}).step("answer"), detail={"blocks": read})
    assert what(step) == f"read the compressed memories of chunks {told}"


def test_adding_a_document_makes_its_blocks(ask):
    session = ask.session(a_reader(), name="added")
    session.add_text(TEXT, title="t", source="t", settings={**SETTINGS, "reads": "kv"})
    made = sum("compress" in call.method for call in session.models.reader.calls)
    assert made == len(list((session.library.workspace / "kv").rglob("*.safetensors"))) > 10
    asked = ask({"reads": "kv"}, session=session)
    assert asked.step("compress").usage.calls == 0


def test_other_settings_make_other_blocks_beside(ask):
    asked = ask({"reads": "kv"})
    count = len(files(asked))
    for settings in ({"ratio": 2}, {"precision": "int8"}, {"compressor": "recent"}, {"budgets": "heads"}):
        assert again(asked, {"reads": "kv", **settings}).step("compress").usage.calls == count
    assert len(files(asked)) == 5 * count


def test_calls_on_blocks_of_another_ratio_are_not_taken_from_the_cache(ask):
    asked = ask({"reads": "kv"})
    other = again(asked, {"reads": "kv", "ratio": 2})
    assert other.answer.usage.cached_calls == 0
    assert again(asked, {"reads": "kv"}).answer.usage.cached_calls == 1


def test_missing_files_are_told_once_and_made_again(ask):
    asked = ask({"reads": "kv"})
    gone = files(asked)[:5]
    for path in gone:
        path.unlink()
    second = again(asked, {"reads": "kv"})
    told = [text for text in second.answer.warnings if "cannot be used" in text]
    assert len(told) == 1 and "and 2 more of t" in told[0] and "made again" in told[0]
    assert second.step("compress").usage.calls == 5
    assert len(files(asked)) == len(asked.step("compress").calls)
    assert second.answer.answer == asked.answer.answer


@pytest.mark.parametrize("form", [{"reads": "kv"}, {"reads": "kv", "order": "scan"}], ids=["waves", "scan"])
def test_a_damaged_block_is_told_and_made_again_when_it_is_read(ask, form):
    asked = ask(form)
    [key] = asked.let_in[:1]
    row = asked.library.database.row("SELECT key FROM kv_blocks WHERE chunk = ?", (key[1],))
    path = asked.library.bank.files.path(row["key"])
    body = path.read_bytes()
    path.write_bytes(body[:-20] + bytes(reversed(body[-20:])))
    second = again(asked, form)
    told = [text for text in second.answer.warnings if "damaged" in text]
    assert len(told) == 1 and f"chunk {key[1]} of t" in told[0]
    assert second.step("compress").usage.calls == 0
    remade = [call for step in second.steps for call in step.calls if call.method == "compress"]
    assert len(remade) == 1 and path.read_bytes() == body
    assert second.answer.answer == asked.answer.answer


@pytest.mark.parametrize("form", FORMS, ids=NAMES)
def test_removing_the_document_takes_its_blocks(ask, form):
    asked = ask(form, scorer=lets_in(["Ulpelhala"]))
    assert files(asked)
    asked.library.remove(asked.library.documents.all()[0].id)
    assert [path for path in (asked.library.workspace / "kv").rglob("*") if path.is_file()] == []
    assert [finding for finding in check_library(asked.library) if finding.state != "ok"] == []
    rows = asked.library.database.rows("SELECT COUNT(*) FROM kv_blocks UNION ALL SELECT COUNT(*) FROM kv_sets")
    assert [row[0] for row in rows] == [0, 0]


@pytest.mark.parametrize("form", FORMS, ids=NAMES)
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_budget_is_kept_while_blocks_are_made_and_after(ask, form, share):
    scorer = lets_in(["Ulpelhala"])
    whole = ask(form, scorer=scorer).answer.usage
    limit = int(whole.total_tokens * share)
    spent = ask(form, scorer=lets_in(["Ulpelhala"]), budget=Budget(tokens=limit))
    assert spent.answer.usage.total_tokens <= limit
    assert spent.answer.status == "budget_spent"
    assert spent.answer.evidence


def test_a_block_that_is_made_again_takes_its_own_place_and_is_not_announced(ask):
    asked = ask({"reads": "kv"})
    [key] = asked.let_in[:1]
    row = asked.library.database.row("SELECT key FROM kv_blocks WHERE chunk = ?", (key[1],))
    path = asked.library.bank.files.path(row["key"])
    path.write_bytes(path.read_bytes()[:-4] + b"????")
    asked.library.bank._limit = 0
    second = again(asked, {"reads": "kv"})
    assert any("made again" in text for text in second.answer.warnings)
    assert not any("kept in the workspace" in text or "made room" in text for text in second.answer.warnings)
    assert second.answer.answer == asked.answer.answer


def test_blocks_that_cannot_be_read_although_they_were_just_made_are_a_fault_of_the_disk(ask, monkeypatch):
    asked = ask({"reads": "kv"})

    def unusable(_path):
        raise UnusableBlock("it is damaged")

    monkeypatch.setattr(asked.reader, "load_kv", unusable)
    with pytest.raises(StoreError, match="although it was just made"):
        again(asked, {"reads": "kv"})


def test_texts_that_have_a_block_take_no_room_and_one_text_takes_it_once(tmp_path):
    body = plant(essay(3, 90), FACTS)
    session = small(tmp_path, None)
    asked_for = []
    room = session.library.bank.make_room
    session.library.bank.make_room = lambda size, keep: (asked_for.append(size), room(size, keep))[1]
    ask_in(session, body)
    held = session.library.bank.held()
    assert held / 2 < asked_for[0] < held * 2
    ask_in(session, f"{body}\n\n{plant(essay(4, 9), [])}")
    grown = session.library.bank.held() - held
    assert len(asked_for) == 2 and grown / 2 < asked_for[1] < grown * 2 < held / 2
    session.close()


def test_chunks_are_looked_up_together(ask, monkeypatch):
    session = ask.session(a_reader())
    queries = []
    rows = session.library.database.rows
    monkeypatch.setattr(session.library.database, "rows", lambda sql, *more: (queries.append(sql), rows(sql, *more))[1])
    session.add_text(TEXT, title="t", source="t", settings={**SETTINGS, "reads": "kv", "memory": "raw"})
    chunks = session.library.database.row("SELECT chunks FROM chunkings")[0]
    assert chunks > 20
    assert sum("FROM chunks WHERE chunking" in sql for sql in queries) < chunks / 4


def test_blocks_of_a_run_at_work_stay_though_they_are_of_a_document_that_this_run_reads(tmp_path):
    session = small(tmp_path, None)
    ask_in(session, TEXT)
    held, [document] = session.library.bank.held(), session.library.documents.all()
    session.library.bank._limit = round(held * 1.5)
    other = {"question": "?", "graph": "g", "settings": {}, "models": {}, "budget": Budget()}
    run = session.library.runs.create("busy", document_ids=[document.id], **other)
    with FileLock(session.library.run_lock(run.id)), pytest.raises(StoreError, match="that must stay"):
        ask_in(session, TEXT, {"ratio": 3})
    assert session.library.bank.held() == held
    answer = ask_in(session, TEXT, {"ratio": 3})  # nobody reads them any more
    assert any("made room" in text for text in answer.warnings)
    session.close()


def trained(folder, weights=b"weights"):
    folder.mkdir(exist_ok=True)
    (folder / MEMORY_TOKENS_FILE).write_bytes(weights)
    return folder


def test_a_trained_compressor_is_known_by_its_weights_alone(tmp_path):
    folder = trained(tmp_path / "trained")
    before = identity_of(str(folder))
    (folder / "log.jsonl").write_text("a step\n")
    (folder / "checkpoint").mkdir()
    assert identity_of(str(folder)) == before
    trained(folder, b"other weights")
    assert identity_of(str(folder)) != before


def test_a_folder_with_the_name_of_a_rule_changes_nothing(ask, tmp_path, monkeypatch):
    asked = ask({"reads": "kv", "compressor": "recent"})
    trained(tmp_path / "recent")
    monkeypatch.chdir(tmp_path)
    assert again(asked, {"reads": "kv", "compressor": "recent"}).step("compress").usage.calls == 0


@pytest.mark.parametrize("order", ["waves", "scan"])
def test_a_trained_compressor_is_looked_at_once_in_a_run(ask, tmp_path, monkeypatch, order):
    settings = {"reads": "kv", "order": order, "compressor": str(trained(tmp_path / "trained"))}
    asked = ask(settings)
    before = len(reads := [])
    real = block_maker.hashlib.file_digest
    monkeypatch.setattr(block_maker.hashlib, "file_digest", lambda *given: (reads.append(given), real(*given))[1])
    second = again(asked, {**settings, "waves": 3, "working_tokens": 9})
    assert second.step("compress").usage.calls == 0
    assert len(reads) - before == 3  # by the check before the run, by its estimate, and in the run
    [row] = asked.library.database.rows("SELECT scorer FROM kv_sets")
    assert row["scorer"].startswith("trained@")


def test_none_keeps_all_under_one_name_whatever_the_ratio(ask):
    asked = ask({"reads": "kv", "compressor": "none", "ratio": 2})
    assert again(asked, {"reads": "kv", "compressor": "none", "ratio": 4}).step("compress").usage.calls == 0


def compress_costs(**settings):
    facts = Facts((DocumentFacts(40_000, 10_000, 20, cut=True),), bound=frozenset({"reader"}), kv_numbers={"reader": 1})
    cost = compress_cost(get_graph("compressed-memory").settings({"reads": "kv", **settings}), facts)
    return cost.works[0].amount, cost.disk


def test_an_estimate_knows_how_often_a_text_is_read_and_how_much_is_kept():
    once, kept = compress_costs(ratio=4)
    twice, as_much = compress_costs(ratio=4, compressor="reconstruction")
    assert (twice - once, as_much) == (10_000, kept)
    assert compress_costs(ratio=4, compressor="none")[1] == 4 * kept == compress_costs(ratio=1)[1]


def test_the_gate_is_told_to_cost_what_the_blocks_that_it_sees_do():
    facts = Facts((DocumentFacts(40_000, 10_000, 20, cut=True),), bound=frozenset({"reader", "scorer"}))

    def tokens(**settings):
        chosen = {"waves": 1, "candidates": 10, "chunk_tokens": 4096, **settings}
        cost = gate_cost(get_graph("compressed-memory").settings(chosen), facts)
        return sum(work.amount for work in cost.works if work.role == "scorer")

    for gate in ("choose", "attention"):
        assert tokens(reads="both", ratio=4, gate=gate) > 10 * 1024 > 4 * tokens(gate=gate)
    assert tokens(reads="both", ratio=4) == tokens(reads="both", ratio=4, gate="choose")
    assert tokens(reads="kv") == 0


def small(tmp_path, kv_bytes, name="small"):
    models = Models(reader=a_reader(), embedder=HashingEmbedder())
    return Session(Library(tmp_path / name, kv_bytes), models, estimate_counter())


def ask_in(session, text, settings=None):
    document = session.library.documents.add(text, title=text[:9], source="s", loader="text/1")
    values = {"chunk_tokens": 60, "gist": "extract", "reads": "kv", "waves": 1, "decline_below": 0, **(settings or {})}
    return session.ask(QUESTION, [document.id], graph="compressed-memory", settings=values)


def test_what_does_not_fit_the_limit_is_refused_before_anything_is_made(tmp_path):
    session = small(tmp_path, 1000)
    with pytest.raises(StoreError, match="may take 1 kB in all"):
        ask_in(session, TEXT)
    assert not list((tmp_path / "small" / "kv").rglob("*.safetensors"))
    assert not any("compress" in call.method for call in session.models.reader.calls)
    session.close()


def test_another_documents_blocks_make_room_and_that_is_told(tmp_path):
    session = small(tmp_path, None, "open")
    ask_in(session, TEXT)
    held = session.library.bank.held()
    session.close()
    session = small(tmp_path, round(held * 1.6), "open")
    first = session.library.documents.all()[0]
    answer = ask_in(session, plant(essay(9, 120), ["The ferry of Ulpelhala leaves at nine."]))
    assert any("made room" in text for text in answer.warnings)
    assert session.library.bank.held() <= held * 1.6
    assert [finding for finding in check_library(session.library) if finding.state != "ok"] == []
    left = len(session.library.bank.keys_of(first.id))
    assert 0 < left < 40
    session.close()


def test_a_follow_up_after_eviction_makes_the_blocks_again(tmp_path):
    session = small(tmp_path, None)
    first = ask_in(session, TEXT)
    session.library.bank._limit = 0
    assert session.library.bank.make_room(0, ()) > 10
    session.library.bank._limit = None
    second = ask_in(session, TEXT)
    assert second.answer == first.answer
    assert not any("cannot be used" in text for text in second.warnings)
    assert second.usage.calls == first.usage.calls
    session.close()


@pytest.mark.parametrize("form", FORMS, ids=NAMES)
def test_an_estimate_names_the_stage_its_tokens_and_its_disk(ask, form):
    asked = ask(form, scorer=lets_in(["Ulpelhala"]))
    fresh = ask.session(a_reader(), lets_in(["Ulpelhala"]))
    document = asked.library.documents.all()[0]
    settings = {"chunk_tokens": 60, "gist": "extract", "ratio": 3, **form}
    before = fresh.estimate(QUESTION, [(document.id, document.length)], settings=settings)
    [stage] = [one for one in before.stages if one.stage == "compress"]
    spent = asked.step("compress").usage
    assert spent.calls / 2 < stage.calls < spent.calls * 2
    assert spent.total_tokens / 2 < stage.tokens_in < spent.total_tokens * 2
    assert stage.disk > 0 and stage.seconds > 0
    known = asked.session.estimate(QUESTION, [(document.id, document.length)], settings=settings)
    [stage] = [one for one in known.stages if one.stage == "compress"]
    assert (stage.calls, stage.disk) == (0, 0)
