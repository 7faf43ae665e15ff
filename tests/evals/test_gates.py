"""`rereader bench gates`: what is kept of a gate's scores, the rows, and the table made from them."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gate_data import write_data
from gate_heads import CALIBRATION, coverage_head
from hypothesis import given
from hypothesis import strategies as st

from rereader.evals.gate_scores import Found
from rereader.evals.gate_table import Ranks, gate_table, grid
from rereader.evals.gates import GateBench, described, measure_gates
from rereader.evals.marked import dealt
from rereader.evals.report import render
from rereader.evals.rows import read_rows, results
from rereader.graphs.registry import get_graph
from rereader.models import gatelora
from rereader.models.gatelora import adapted, save_lora
from rereader.models.hashing import HashingEmbedder
from rereader.models.local import LocalModel
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.models.tiny import tiny_model
from rereader.schema import InputError
from rereader.testing.sessions import scripted_session

ALL = ("bm25", "similarity", "fused", "trained", "choose", "likelihood", "attention")


class Opened:
    """A session as ``open_session`` gives it."""

    def __init__(self, folder):
        scorer = ScriptedModel(lambda prompt: "A", name="scorer", attends=True, context_window=4000)
        self.session = scripted_session(folder, Models(scorer=scorer, embedder=HashingEmbedder()))

    def __enter__(self):
        return self.session

    def __exit__(self, *_):
        self.session.close()


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    data = write_data(folder / "data", 12, ("hotpotqa",))
    coverage_head(0.3).write(folder / "gate.safetensors")
    settings = {"trained_gate": str(folder / "gate.safetensors"), "chunk_tokens": 48}
    bench = GateBench("hotpotqa", 20, ALL, 3, 3, settings)
    out = folder / "rows.jsonl"
    told = []
    written = measure_gates(bench, data, Opened, out, lambda done, total: told.append((done, total)))
    return bench, data, out, written, told


def test_every_gate_scores_every_question_with_and_without_what_is_known(measured):
    _, _, out, written, told = measured
    rows = results(read_rows(out))
    assert written == len(rows) == 3 * len(ALL) * 2
    assert {row["benchmark"] for row in rows} == {"gates-hotpotqa-20-chunks48", "gates-hotpotqa-20-chunks48-known"}
    assert {row["system"] for row in rows} == set(ALL)
    assert {dealt(row["item"]) for row in rows} == {"test"}
    assert told == [(done, 3) for done in range(4)]


def test_rows_hold_what_tables_need(measured):
    _, _, out, _, _ = measured
    for row in results(read_rows(out)):
        assert len(row["gold_ranks"]) == len(row["gold_scores"]) >= 1
        assert all(1 <= rank <= row["chunks"] for rank in row["gold_ranks"])
        assert len(row["scores_at"]) == len(grid(row["chunks"]))
        assert row["known"] == row["benchmark"].endswith("-known")
        assert (row["calls"] > 0) == (row["system"] in ("choose", "likelihood", "attention"))


def test_chunks_that_hold_what_is_known_are_not_asked_for(measured):
    _, _, out, _, _ = measured
    rows = results(read_rows(out))
    chunks = {(row["item"], row["known"]): row["chunks"] for row in rows}
    assert all(chunks[item, True] < chunks[item, False] for item, known in chunks if known)


def test_rows_that_are_there_are_not_measured_again(measured):
    bench, data, out, _, _ = measured
    before = out.read_bytes()
    assert measure_gates(bench, data, Opened, out) == 0
    assert out.read_bytes() == before


def test_the_environment_names_data_settings_and_the_trained_gate(measured):
    _, _, out, _, _ = measured
    first = json.loads(out.read_text().splitlines()[0])
    assert first["row"] == "environment"
    assert first["models"] == {"embedder": "hashing", "scorer": "scorer"}
    assert first["embedder"]["fingerprint"] and first["scorer"]["fingerprint"] != first["embedder"]["fingerprint"]
    assert first["trained_gate"]["name"] == "gate.safetensors" and len(first["trained_gate"]["sha256"]) == 64
    assert first["settings"]["gist_share"] == 0.5 and first["data"]["documents"] == 20


def test_the_report_has_a_table_for_each_state_of_knowledge(measured):
    _, _, out, _, _ = measured
    text = render([out])
    assert text.count("| gate | n | chunks | AUROC |") == 2
    assert text.count("| similarity |") == 2 and "difference from similarity" in text


@pytest.fixture(scope="module")
def judged(measured, tmp_path_factory):
    """Rows of gates that were given the four best recalled chunks only, and the prompts that the scorer was asked."""
    bench, data, _, _, _ = measured
    out = tmp_path_factory.mktemp("judged") / "rows.jsonl"
    measure_gates(replace(bench, gates=("fused", "choose", "attention"), judged=4), data, Opened, out)
    return out


def test_only_the_best_recalled_are_judged_and_the_others_stand_after_them(judged):
    rows = results(read_rows(judged))
    assert {row["system"] for row in rows} == {"fused", "choose of 4", "attention of 4"}
    by_item = {(row["item"], row["known"], row["system"]): row for row in rows}
    for (item, known, system), row in by_item.items():
        fused = by_item[item, known, "fused"]
        assert row["chunks"] == fused["chunks"] > 4 and len(row["gold_ranks"]) == len(fused["gold_ranks"])
        if system == "fused":
            assert row["calls"] == 0 and "auroc_judged" not in row
            continue
        assert row["calls"] == 4 if system == "choose of 4" else row["calls"] > 0
        for mine, theirs in zip(row["gold_ranks"], fused["gold_ranks"], strict=True):
            assert mine == theirs if theirs > 4 else mine <= 4, "the judged are put in another order, the others not"


def test_recall_and_judgement_are_compared_among_those_that_were_judged():
    found = Found({}, {(0, 1): 0.9, (0, 2): 0.5, (0, 3): 0.1}, {(0, 1): -3.0, (0, 2): -1.0, (0, 3): -2.0})
    assert found.among_judged({(0, 2)}) == {"auroc_recalled": 0.5, "auroc_judged": 1.0}
    assert found.among_judged({(0, 7)}) == {"auroc_recalled": None, "auroc_judged": None}


def test_the_table_has_those_areas_where_there_are_any(judged, measured):
    assert "judged ones" not in render([measured[2]])
    lines = [line for line in render([judged]).splitlines() if line.startswith("| ")]
    header, _, fused, choose, _ = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[:5]]
    assert header[-2:] == ["AUROC of recall, judged ones", "AUROC of judgement, judged ones"]
    assert fused[0] == "fused" and fused[-2:] == ["-", "-"]
    assert choose[0] == "choose of 4" and all("[" in cell for cell in choose[-2:])


def test_what_another_default_gave_is_measured_anew(measured, monkeypatch):
    bench, data, out, _, _ = measured
    (copy := out.with_name("copy.jsonl")).write_bytes(out.read_bytes())
    once = replace(bench, gates=("bm25",), items=1)
    assert measure_gates(once, data, Opened, copy) == 0
    graph = get_graph("compressed-memory")
    changed = SimpleNamespace(settings=lambda values: replace(graph.settings(values), beside=0.25))
    monkeypatch.setattr("rereader.evals.gates.get_graph", lambda name: changed)
    assert measure_gates(once, data, Opened, copy) == 2


def test_all_judged_is_another_measurement_than_the_best(judged, measured):
    bench, data, _, _, _ = measured
    again = replace(bench, gates=("fused", "choose"), judged=5, items=1)
    assert measure_gates(again, data, Opened, judged) == 2, "of fused nothing is measured again"


class WithAdapters(Opened):
    """A session whose scorer takes adapters."""

    def __init__(self, folder):
        self.scorer = LocalModel(*tiny_model("llama", 0), name="tiny")
        models = Models(scorer=self.scorer, embedder=HashingEmbedder())
        self.session = scripted_session(folder, models)

    def __exit__(self, *details):
        super().__exit__(*details)
        self.scorer.close()


def test_adapters_stand_beside_the_head_and_are_opened_once(measured, tmp_path, monkeypatch):
    bench, data, _, _, _ = measured
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        reader = adapted(*tiny_model("llama", 0), 2)
        with torch.no_grad():
            reader.weight.normal_()
    reader.model.eval()
    save_lora(tmp_path / "adapters", reader, CALIBRATION, {"scorer": "tiny"})
    opened, opening = [], gatelora.open_lora
    monkeypatch.setattr(gatelora, "open_lora", lambda *given: opened.append(given) or opening(*given))
    both = replace(bench, gates=("trained", "lora"), items=2, judged=3, lora=tmp_path / "adapters")
    out = tmp_path / "rows.jsonl"
    assert measure_gates(both, data, WithAdapters, out) == 2 * 2 * 2
    rows = results(read_rows(out))
    assert {row["system"]: row["calls"] for row in rows} == {"trained": 0, "lora of 3": 3}
    assert len(opened) == 1
    first = read_rows(out)[0]
    assert first["lora"]["adapters"] and not first["trained_gate"]["adapters"]


def test_a_folder_of_adapters_is_not_taken_for_the_head(measured, tmp_path):
    bench, data, _, _, _ = measured
    wrong = replace(bench, gates=("trained",), settings={"trained_gate": str(tmp_path)})
    with pytest.raises(InputError, match="is a folder of adapters"):
        measure_gates(wrong, data, Opened, tmp_path / "rows.jsonl")
    with pytest.raises(InputError, match="needs its folder"):
        measure_gates(replace(bench, gates=("lora",)), data, Opened, tmp_path / "rows.jsonl")


def test_an_unknown_gate_is_refused(measured, tmp_path):
    _, data, _, _, _ = measured
    with pytest.raises(InputError, match="no gate 'magic'"):
        measure_gates(GateBench("hotpotqa", 20, ("magic",)), data, Opened, tmp_path / "rows.jsonl")


def test_stopped_between_questions_it_goes_on_where_it_was(measured, tmp_path):
    bench, data, _, written, _ = measured

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_gates(bench, data, Opened, tmp_path / "rows.jsonl", stop)
    assert len(results(read_rows(tmp_path / "rows.jsonl"))) == 2 * len(ALL) * 2
    assert measure_gates(bench, data, Opened, tmp_path / "rows.jsonl") == written // 3


def test_rows_of_a_gate_hold_whatever_other_gates_are_asked_for(measured):
    """Neither another gate of the call nor another trained gate is a reason to measure BM25 again."""
    bench, data, out, _, _ = measured
    before = out.read_bytes()
    assert measure_gates(replace(bench, gates=("bm25", "choose")), data, Opened, out) == 0
    other = {**bench.settings, "trained_gate": bench.settings["trained_gate"].replace("gate.", "other.")}
    coverage_head(0.2).write(Path(other["trained_gate"]))
    assert measure_gates(replace(bench, gates=("bm25",), settings=other), data, Opened, out) == 0
    assert out.read_bytes() == before
    assert measure_gates(replace(bench, gates=("trained",), settings=other, items=1), data, Opened, out) == 2


@given(st.integers(1, 2000))
def test_the_grid_goes_from_the_first_rank_to_the_last(chunks):
    ranks = grid(chunks)
    assert ranks[0] == 1 and ranks[-1] == chunks and ranks == sorted(set(ranks)) and len(ranks) <= 48


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=40), st.data())
def test_ranks_count_what_stands_above(values, data):
    scores = np.array(values, dtype=np.float64)
    wanted = np.zeros(len(values), dtype=bool)
    wanted[data.draw(st.integers(0, len(values) - 1))] = True
    row = described(scores, wanted)
    [rank] = row["gold_ranks"]
    above, equal = (scores > scores[wanted]).sum(), (scores == scores[wanted]).sum()
    assert rank == above + (equal + 1) / 2
    assert row["scores_at"] == sorted(row["scores_at"], reverse=True)


def rows_of(system, ranks, chunks=100):
    """One wanted chunk to a question, at the given ranks, with scores that fall by one a rank."""
    return [
        {
            "system": system,
            "item": f"q{number}",
            "chunks": chunks,
            "gold_ranks": [rank],
            "gold_scores": [float(-rank)],
            "scores_at": [float(-place) for place in grid(chunks)],
            "auroc": 1 - (rank - 1) / (chunks - 1),
            "seconds": 0.5,
        }
        for number, rank in enumerate(ranks)
    ]


def test_the_share_that_passes_is_where_the_wanted_recall_is_reached():
    mine = Ranks.of(rows_of("a", range(1, 101)))
    everyone = np.arange(100)
    assert mine.passing(everyone) == pytest.approx(0.96, abs=0.011)
    assert mine.recall_at(0.1, everyone) == pytest.approx(0.1)
    assert mine.passing_threshold(everyone) == pytest.approx(0.96, abs=0.02)


def test_one_threshold_suffers_from_scores_that_differ_between_questions():
    rows = rows_of("a", [5] * 40)
    for number, row in enumerate(rows):
        row["gold_scores"] = [score + 40 * (number % 2) for score in row["gold_scores"]]
        row["scores_at"] = [score + 40 * (number % 2) for score in row["scores_at"]]
    mine, everyone = Ranks.of(rows), np.arange(40)
    assert mine.passing(everyone) == pytest.approx(0.05)
    assert mine.passing_threshold(everyone) == pytest.approx((0.05 + 0.45) / 2, abs=0.02)


def test_differences_are_taken_on_the_same_questions():
    rows = [*rows_of("similarity", [20, 30, 40, 50] * 10), *rows_of("better", [2, 3, 4, 5] * 10)]
    header, lines = gate_table(rows)
    cells = {line[0]: dict(zip(header, line, strict=True)) for line in lines}
    assert cells["similarity"]["difference from similarity"] == "-"
    assert cells["better"]["difference from similarity"].startswith("**-0.450")
    assert cells["better"]["share for 0.95"].startswith("0.050")
    assert cells["better"]["recall at 5%"] == "1.00" and cells["similarity"]["recall at 20%"] == "0.25"
