"""Compressed paragraphs against their texts: what is put to a model, and what is kept of it."""

import gzip
import json
from types import SimpleNamespace

import numpy as np
import pytest
from local_models import wrap
from typer.testing import CliRunner

from rereader.evals import memory_cli
from rereader.evals.cli import bench_app
from rereader.evals.marked import dealt
from rereader.evals.memory_bench import MemoryBench, measure_memory
from rereader.evals.memory_blocks import Blocks
from rereader.evals.memory_items import PARAGRAPHS, answer_kind, paragraph_texts, squad_file
from rereader.evals.memory_systems import Reader, System, systems_of
from rereader.evals.memory_table import grouped_interval
from rereader.evals.report import render
from rereader.evals.rows import read_rows, results
from rereader.models.base import Head
from rereader.models.kvmemory import Compression
from rereader.schema.errors import InputError

HEADS = [Head(0, 1), Head(1, 2)]
PLACES = ["mill", "tower", "island", "river", "harbour"]


@pytest.fixture
def data(tmp_path):
    path = squad_file(tmp_path)
    path.parent.mkdir()
    rows = []
    for title in (f"Article {number}" for number in range(8)):
        for place in PLACES:
            context = f"The {place} of {title} was sold. It was built in 1897 by Ada. Nobody knows the price."
            for number, (question, answer) in enumerate([("Who built it?", "Ada"), ("When?", "1897")]):
                row = {"id": f"{title} {place} {number}", "title": title, "context": context}
                rows.append({**row, "question": question, "answers": [answer], "answer_start": 0})
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    return tmp_path


@pytest.fixture
def model():
    made = wrap(find_heads=lambda: HEADS)
    yield made
    made.close()


def measure(bench, model, data, **more):
    return measure_memory(bench, model, HEADS, data, data / "blocks", data / "rows.jsonl", **more)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("Isaac Newton", "name"),
        ("the Battle of Jumonville Glen", "name"),
        ("E.I. du Pont", "other"),
        ("1288", "date"),
        ("May 2013", "date"),
        ("after 1279", "date"),
        ("the 1960s", "date"),
        ("16th century", "date"),
        ("17,786,419", "number"),
        ("third", "number"),
        ("3600 revolutions per minute", "number"),
        ("40%", "number"),
        ("nonviolent", "other"),
        ("his observation of fossil shells", "other"),
        ("may be", "other"),
        ("the", "other"),
    ],
)
def test_kinds_of_answers(answer, kind):
    assert answer_kind(answer) == kind


def test_texts_hold_the_right_paragraph_among_those_of_its_article_first(data):
    texts = paragraph_texts(data, "test", 0)
    assert texts == paragraph_texts(data, "test", 0)
    assert {text.gold for text in texts} > {0}
    for text in texts:
        title = text.name.rpartition(" ")[0].rpartition(" ")[0]
        assert dealt(title) == "test"
        assert len(set(text.paragraphs)) == PARAGRAPHS
        assert f"of {title} " in text.paragraphs[text.gold]
        assert sum(f"of {title} " in one for one in text.paragraphs) == len(PLACES)
        assert [question.kind for question in text.questions] == ["name", "date"]


def test_the_seed_decides_the_order_and_the_splits_share_nothing(data):
    test, dev = paragraph_texts(data, "test", 0), paragraph_texts(data, "dev", 0)
    assert not {one for text in test for one in text.paragraphs} & {one for text in dev for one in text.paragraphs}
    other = paragraph_texts(data, "test", 1)
    assert [text.name for text in test] != [text.name for text in other]
    assert sorted(text.name for text in test) == sorted(text.name for text in other)


def test_too_few_paragraphs(data):
    squad_file(data).write_bytes(gzip.compress(b""))
    with pytest.raises(InputError, match="0 paragraphs"):
        paragraph_texts(data, "test", 0)


def test_every_system_is_measured_once_and_has_a_name_of_its_own():
    systems = [system for tier in systems_of(("a", "b", "c"), (4.0, 2.0)) for system in tier]
    assert len({system.name for system in systems}) == len(set(systems)) == len(systems)
    full = [system for system in systems if system.scope == "all" and system.form == "blocks"]
    assert {(one.scorer, one.ratio) for one in full} == {("none", 1)} | {(s, r) for s in "abc" for r in (4.0, 2.0)}


def reading(model, data, system, question="Who built it?"):
    texts = paragraph_texts(data, "test", 0)
    reader = Reader(model, Blocks(model, data / "blocks"), HEADS, texts)
    return reader, texts[0], reader.readings(system, texts[0], [question])[0]


@pytest.mark.parametrize("form", ["raw", "blocks"])
def test_one_paragraph_at_ratio_one_reads_the_same_as_text_and_as_block(model, data, form):
    _, _, read = reading(model, data, System(form, "gold", "none"))
    _, _, text = reading(model, data, System("raw", "gold"))
    assert read.places == text.places
    found, wanted = model.log_likelihood([read.prompt, text.prompt], ["Ada", "Ada"])
    assert found == pytest.approx(wanted, abs=0.05)  # blocks are stored in bfloat16


def test_places_follow_the_ratio_and_gists_keep_sentences(model, data):
    reader, text, raw = reading(model, data, System("raw"))
    assert raw.places == reader.tokens(System("raw"), text)
    for ratio in (2.0, 4.0):
        system = System("blocks", "all", "key-norm", ratio)
        _, _, found = reading(model, data, system)
        assert found.places == pytest.approx(raw.places / ratio, abs=PARAGRAPHS)
        assert reader.stored_bytes(system, text) > 0
    _, _, gist = reading(model, data, System("gist", "all", "", 3.0))
    kept = [segment.text.strip() for segment in gist.prompt if segment.text.endswith(".\n\n") and not segment.trusted]
    assert len(kept) == PARAGRAPHS and 0 < gist.places < raw.places / 2
    assert all(part in paragraph for part, paragraph in zip(kept, text.paragraphs, strict=True))
    _, _, nothing = reading(model, data, System("nothing"))
    assert nothing.places == 0 and not any("Article" in segment.text for segment in nothing.prompt)


@pytest.mark.parametrize("form", ["raw", "blocks"])
def test_the_chosen_paragraph_is_the_one_that_is_looked_at_most(model, data, form, monkeypatch):
    real = type(model).attention

    def turned(self, prompt, heads, cancel=None, keep=None):
        """What an attention to the fourth paragraph would look like."""
        found = real(self, prompt, heads, cancel, keep)
        if any("N/A" in segment.text for segment in prompt):
            return found
        [start] = [place for place, segment in enumerate(prompt) if segment.memory] or [1]
        sizes = [block.places for block in prompt[start].memory]
        if not sizes:
            sizes = [end - begin for begin, end in found.ranges[start : start + PARAGRAPHS]]
        begin = found.ranges[start][0] + sum(sizes[:3])
        found.by_head[:, begin : begin + sizes[3]] += 1
        return found

    monkeypatch.setattr(type(model), "attention", turned)
    _, text, found = reading(model, data, System(form, "chosen", "none"))
    assert found.chosen == 3
    assert [segment.text for segment in found.prompt if "Article" in segment.text] == [f"{text.paragraphs[3]}\n\n"]


def test_rows_tables_and_going_on(model, data):
    told = []
    first = measure(MemoryBench("test", ("key-norm",), (4.0,), limit=3), model, data, told=lambda *at: told.append(at))
    rows = results(read_rows(data / "rows.jsonl"))
    systems = {system.name for tier in systems_of(("key-norm",), (4.0,)) for system in tier}
    assert {row["system"] for row in rows} == systems
    assert first == len(rows) == len(systems) * 4  # whole texts of two questions each
    assert told[-1] == (first, first)
    assert all(np.isfinite(row["logprob"]) and row["logprob"] < 0 and row["tokens"] > 0 for row in rows)
    assert {row["chosen_right"] for row in rows if "chosen" in row["system"]} <= {0.0, 1.0}
    assert measure(MemoryBench("test", ("key-norm",), (4.0,), limit=3), model, data) == 0
    table = render([data / "rows.jsonl"])
    assert "| blocks key-norm 4 | 4 |" in table and "| read | date (2) | name (2) |" in table


def test_limits_likelihoods_alone_and_unknown_scorers(model, data):
    assert measure(MemoryBench("test", max_seconds=0.0), model, data) == 0
    bench = MemoryBench("test", ("key-norm",), (4.0,), limit=1, answers=False)
    assert measure(bench, model, data) > 0
    assert not any("answer" in row for row in results(read_rows(data / "rows.jsonl")))
    assert "Contained by kind" not in render([data / "rows.jsonl"])
    assert measure(MemoryBench("test", ("key-norm",), (4.0,), limit=1), model, data) > 0
    assert {row["benchmark"] for row in read_rows(data / "rows.jsonl")} == {"memory-squad", "memory-squad-answers"}
    with pytest.raises(InputError):
        measure(MemoryBench("test", ("no such",), (4.0,), limit=1), model, data)


def test_blocks_are_made_once_and_again_when_damaged(model, data, monkeypatch):
    made = []
    real = type(model).compress_kv

    def counted(self, prompts, how, cancel=None):
        made.append(len(prompts))
        return real(self, prompts, how, cancel)

    monkeypatch.setattr(type(model), "compress_kv", counted)
    texts, how = ["The mill was sold.\n\n", "The tower was built.\n\n"], Compression("key-norm", 2.0)
    blocks = Blocks(model, data / "blocks")
    first = blocks.of(texts, how)
    assert blocks.of(texts[:1], how) == first[:1] and made == [2]
    assert Blocks(model, data / "blocks").of(texts, how) == first and made == [2]
    damaged = next(iter((data / "blocks").iterdir()))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert Blocks(model, data / "blocks").of(texts, how) == first and made == [2, 1]
    assert Blocks(model, data / "blocks").of(texts, Compression("random", 2.0)) != first and made == [2, 1, 2]


def test_intervals_draw_groups():
    alone = grouped_interval([(str(number), float(number % 2)) for number in range(100)])
    together = grouped_interval([(str(number // 10), float(number // 50)) for number in range(100)])
    assert alone.mean == together.mean == 0.5
    assert alone.high - alone.low < 0.25 < 0.5 <= together.high - together.low
    assert grouped_interval([("few", 1.0), ("others", 2.0)] * 50) is None


def row(text, system, logprob, **more):
    key = {"row": "result", "benchmark": "memory-squad", "split": "test", "seed": 0, "item": text, "settings_hash": ""}
    shape = {"kind": "name", "text": text, "places": 4, "bytes_per_token": 2.0, "seconds": 0.5}
    return {**key, "system": system, "logprob": logprob, **shape, **more}


def test_tables_show_differences_on_the_same_questions(tmp_path):
    rows = [row(str(number), "raw", -1.0 - number) for number in range(10)]
    rows += [row(str(number), "gist 4", -1.5 - number, kind="date" if number < 2 else "name") for number in range(9)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(one)}\n" for one in rows))
    table = render([path])
    assert "| gist 4 | 9 | -5.50 | **-0.50 [-0.50, -0.50]** | 4 | 2 | 0.50 |" in table
    assert "| gist 4 | -0.50 | -0.50 |" in table  # of two and of seven paragraphs no interval is told
    assert "contained" not in table and "right paragraph" not in table


def test_a_scorer_is_compared_with_chance_at_its_ratio_and_in_its_way(tmp_path):
    systems = {
        "raw": -1.0,
        "blocks random 2": -4.0,
        "blocks random 4": -5.0,
        "blocks random 4, right paragraph alone": -3,
    }
    rows = [row(str(number), system, value) for system, value in systems.items() for number in range(10)]
    rows += [row(str(number), "blocks key-norm 4", -4.5) for number in range(9)]
    rows += [row(str(number), "blocks key-norm 4, right paragraph alone", -3.25) for number in range(9)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(one)}\n" for one in rows))
    table = render([path])
    assert "| read | n | log-probability | difference from raw | difference from random | places |" in table
    assert "| blocks key-norm 4 | 9 | -4.50 | **-3.50 [-3.50, -3.50]** | **+0.50 [+0.50, +0.50]** |" in table
    assert "alone | 9 | -3.25 | **-2.25 [-2.25, -2.25]** | **-0.25 [-0.25, -0.25]** |" in table
    assert "| blocks random 4 | 10 | -5.00 | **-4.00 [-4.00, -4.00]** | - |" in table


def test_the_command(model, data, monkeypatch):
    models = SimpleNamespace(scorer=model, close=lambda: None)
    monkeypatch.setenv("REREADER_DATA", str(data))
    monkeypatch.setattr(memory_cli, "bind_scorer", lambda name, folder: models)
    monkeypatch.setattr("rereader.models.headlist.heads_in_use", lambda name, folder: (HEADS, "here"))
    out = data / "rows.jsonl"
    asked = ["memory", "--limit", "1", "--scorers", "random", "--ratios", "3", "--no-answers", "--split", "test"]
    asked += ["--out", str(out), "--models-dir", str(data)]
    done = CliRunner().invoke(bench_app, asked, catch_exceptions=False)
    rows = results(read_rows(out))
    assert f"{len(rows)} rows written" in done.output.replace("\n", "")
    assert "blocks random 3" in {row["system"] for row in rows}
    assert len(list((data / ".blocks").iterdir())) == 2 * PARAGRAPHS  # of everything, and at ratio 3
    assert "0 rows written" in CliRunner().invoke(bench_app, asked, catch_exceptions=False).output.replace("\n", "")


@pytest.mark.parametrize("wrong", [["--split", "train"], ["--ratios", "0.5"], ["--ratios", "many"]])
def test_wrong_options(wrong):
    with pytest.raises(InputError):
        CliRunner().invoke(bench_app, ["memory", *wrong], catch_exceptions=False)
