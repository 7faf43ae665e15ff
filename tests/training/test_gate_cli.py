"""`rereader train gate`: from made-up questions to a gate that the ask command can use."""

import json

import numpy as np
import pytest
from gate_data import write_data
from gate_heads import made_up_cases
from typer.testing import CliRunner

from rereader.cli.main import application, run
from rereader.models.gatehead import PROBES, read_head
from rereader.models.hashing import HashingEmbedder
from rereader.models.tiny import tiny_model
from rereader.schema import Budget, InputError, Interrupted
from rereader.testing.sessions import scripted_models, scripted_session
from rereader.training.gate import GatePlan, check_out, train_gate_head, train_gate_lora


@pytest.fixture
def data(tmp_path, monkeypatch):
    folder = write_data(tmp_path / "data", 40)
    monkeypatch.setenv("REREADER_DATA", str(folder))
    monkeypatch.setenv("REREADER_MODELS", str(tmp_path / "no models"))
    return folder


def gate(*arguments):
    return run(["train", "gate", "--embedder", "hashing", "--rounds", "1", "--quiet", *arguments])


def test_the_help_names_the_options():
    shown = CliRunner().invoke(application(), ["train", "gate", "--help"])
    assert shown.exit_code == 0
    for word in ("--out", "--lora", "--seed", "--json", "--rounds", "REREADER_DATA", "rereader train gate --out"):
        assert word in shown.output
    assert "gate" in CliRunner().invoke(application(), ["train", "--help"]).output


def test_a_gate_is_trained_and_used(data, tmp_path, capsys):
    out = tmp_path / "made" / "gate.safetensors"
    assert gate("--out", str(out), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["out"] == str(out) and told["metrics"]["all"]["auroc"] > 0.8
    head = read_head(out)
    head.check("hashing", HashingEmbedder().embed(list(PROBES)))
    assert head.about["data"]["sources"] == ["hotpotqa", "2wikimultihopqa", "musique"]
    assert head.about["seed"] == 0 and head.about["metrics"] == told["metrics"]
    lines = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    assert lines[0]["row"] == "about" and [line["recall"] for line in lines[1:]] == sorted(
        line["recall"] for line in lines[1:]
    )
    session = scripted_session(tmp_path / "ws", scripted_models())
    text = "Nothing much. " * 300 + "The red lantern is kept by Orsk Vellmar. " + "Nothing much. " * 300
    document = session.add_text(text, title="t", source="t", settings={"gist": "extract"})
    settings = {"gist": "extract", "gate": "trained", "trained_gate": str(out)}
    answer = session.ask("Who keeps the red lantern?", [document.id], settings=settings)
    assert any("Orsk" in item.quote for item in answer.evidence)
    session.close()


def test_the_same_seed_gives_the_same_file_but_for_the_date(data, tmp_path):
    heads = []
    for name in ("a", "b"):
        assert gate("--questions", "30", "--out", str(tmp_path / f"{name}.safetensors")) == 0
        heads.append(read_head(tmp_path / f"{name}.safetensors"))
    assert np.array_equal(heads[0].inner, heads[1].inner) and heads[0].calibration == heads[1].calibration


def test_what_came_of_it_is_told_in_words(data, tmp_path, capsys):
    assert gate("--questions", "30", "--out", str(tmp_path / "g.safetensors")) == 0
    shown = capsys.readouterr().out
    assert "AUROC" in shown and "nothing known" in shown and "g.jsonl" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--sources", "squad"), "no set 'squad'"),
        (("--out", "."), "is a folder"),
        (("--questions", "2"), "too few"),
        (("--lora", "--scorer", "no-such-model"), "no-such-model"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(data, tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert gate(*arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert said in lines[-1] and lines[-1].startswith("error: ")
    assert not list(tmp_path.glob("gate-*"))


def test_missing_data_are_said_before_anything_is_loaded(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("REREADER_DATA", raising=False)
    assert gate("--out", str(tmp_path / "g.safetensors")) == 2
    assert "REREADER_DATA is not set" in capsys.readouterr().err


def test_a_place_is_checked_before_hours_are_spent(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        check_out(tmp_path / "file", folder=True)
    check_out(tmp_path / "new", folder=True)
    check_out(tmp_path / "new", folder=False)
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(InputError, match="may not be written"):
        check_out(tmp_path / "new" / "deep" / "gate", folder=False)


def test_stopped_it_writes_nothing(data, tmp_path):
    import threading

    session, cancel = scripted_session(tmp_path / "ws"), threading.Event()

    def tell(stage, done, total):
        if stage == "passes":
            cancel.set()

    with pytest.raises(Interrupted):
        train_gate_head(GatePlan(data, rounds=1), session, tmp_path / "g.safetensors", tell, cancel)
    assert not list(tmp_path.glob("g.*"))
    session.close()


def test_adapters_are_trained_into_a_folder(data, tmp_path, monkeypatch):
    from rereader.models import loading
    from rereader.models.gatelora import open_lora
    from rereader.models.local import LocalModel
    from rereader.training import gate as training
    from rereader.training import gate_lora

    real = gate_lora.train_lora

    def brief(model, tokenizer, cases, how, told, cancel):
        """The same on cases that so small a model can learn."""
        assert cases and how.steps == 40 and how.seed == 0
        quick = gate_lora.LoraSettings(rank=4, steps=40, cases=2, others=1, rate=1e-2, checked=6)
        return real(model, tokenizer, made_up_cases(30, memories=6), quick, told, cancel)

    monkeypatch.setattr(gate_lora, "train_lora", brief)

    model, tokenizer = tiny_model("llama", 0)
    parts = loading.Parts(model, model, tokenizer, None, "0" * 64)
    monkeypatch.setattr(loading, "load_parts", lambda *_: parts)
    monkeypatch.setattr(training, "locate", lambda name, folder: folder)
    session, stages = scripted_session(tmp_path / "ws"), set()
    found = train_gate_lora(
        GatePlan(data, rounds=1, questions=6),
        session,
        ("tiny", tmp_path),
        tmp_path / "lora",
        lambda stage, done, total: stages.add(stage),
        steps=40,
    )
    assert stages == {"texts", "steps"} and len(found["losses"]) == 40
    assert {file.name for file in (tmp_path / "lora").iterdir()} >= {"gate.json", "gate_head.safetensors", "gate.jsonl"}
    scorer = LocalModel(*tiny_model("llama", 0), name="tiny")
    session.models._loaded["scorer"] = scorer
    text = "Nothing much. " * 300 + "The red lantern is kept by Orsk Vellmar. " + "Nothing much. " * 300
    document = session.add_text(text, title="t", source="t", settings={"gist": "extract"})
    settings = {
        "gist": "extract",
        "gate": "trained",
        "trained_gate": str(tmp_path / "lora"),
        "answer": False,
        "waves": 1,
    }
    answer = session.ask("Who keeps the red lantern?", [document.id], settings=settings)
    [step] = [step for step in session.library.runs.steps(answer.run_id) if step.node == "gate"]
    chunks = len(step.detail["decisions"])
    assert step.detail["trained_gate"] == "lora" and len(step.calls) == chunks > 2
    assert step.usage.calls == chunks and step.usage.prompt_tokens > 0
    _check_budget_cuts_between_batches(session, document, settings, step.detail["log_odds"], monkeypatch)
    gate_model = open_lora(tmp_path / "lora", scorer)
    assert gate_model.name == "tiny+lora"
    session.close()


def _check_budget_cuts_between_batches(session, document, settings, odds, monkeypatch):
    """What was scored before a budget was spent is kept: the next run has those calls for nothing."""
    monkeypatch.setattr("rereader.agents.gates_trained._PROMPTS_AT_ONCE", 1)
    question = "Who keeps the red lantern by night?"
    brief = session.ask(question, [document.id], settings=settings, budget=Budget(calls=2))
    assert brief.usage.calls == 2
    answer = session.ask(question, [document.id], settings=settings)
    assert answer.usage.cached_calls >= 2 and answer.usage.calls == len(odds)
