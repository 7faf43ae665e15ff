"""kill -9 at random moments: nothing finished is lost or made again, the answer is that of an unharmed run."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from rereader.memory.library import Library
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.schema import ModelError
from rereader.testing.sessions import scripted_models, scripted_session
from rereader.testing.texts import essay, plant

SCRIPT = """
import sys, time
from pathlib import Path
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.testing.sessions import quoting_reply, scripted_session
from rereader.testing.texts import essay, plant

workspace, log, first = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

def slowly(reply):
    def say(prompt):
        time.sleep(0.02)
        made = reply(prompt)
        with log.open("a") as lines:
            lines.write(repr(hash(prompt)) + "\\n")
        return made
    return say

models = Models(
    reader=ScriptedModel(slowly(quoting_reply), name="reader"),
    gister=ScriptedModel(slowly(lambda prompt: "A gist of it. " + prompt[-40:]), name="gister"),
    scorer=ScriptedModel(lambda prompt: "A", name="scorer"),
    embedder=HashingEmbedder(),
)
session = scripted_session(workspace, models)
settings = {"gist": "model", "gate": "choose", "reasoner": "model", "decline_below": 0}
text = plant(essay(7, 700 if first == "add" else 2000), ["The strongbox of the Ulpelhala office opens with 5265."])
if first == "add":
    document = session.add_text(text, title="t", source="t", settings=settings)
else:
    document = session.library.documents.add(text, title="t", source="t", loader="text/1")
runs = session.library.runs.all()
question = "With which number does the strongbox of the Ulpelhala office open?"
answer = session.resume(runs[0].id) if runs else session.ask(question, [document.id], settings=settings)
print(answer.model_dump_json())
"""


def start(workspace, log, first="add"):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(workspace), str(log), first],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err.decode()
    return json.loads(out)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_killed_run_goes_on_where_it_was(tmp_path, seed):
    whole = finish(start(tmp_path / "whole", tmp_path / "whole.log"))
    rng = random.Random(seed)
    workspace, log = tmp_path / "ws", tmp_path / "log"
    kills, began = 0, time.monotonic()
    while kills < 4 and time.monotonic() - began < 60:
        process = start(workspace, log)
        time.sleep(rng.uniform(0.9, 2.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        if (workspace / "library.db").exists():
            with Library(workspace) as library:
                assert library.database.rows("PRAGMA integrity_check")[0][0] == "ok"
    answer = finish(start(workspace, log))
    assert answer["answer"] == whole["answer"]
    assert [e["quote"] for e in answer["evidence"]] == [e["quote"] for e in whole["evidence"]]
    assert answer["usage"]["calls"] == whole["usage"]["calls"]
    made = log.read_text().split()
    once = set((tmp_path / "whole.log").read_text().split())
    assert set(made) == once
    # Only the batch that was at work when the kill came may be made again.
    assert len(made) - len(once) <= kills * 16


def lines(log):
    return len(log.read_text().split()) if log.exists() else 0


def test_a_killed_run_is_charged_for_the_memories_that_it_made(tmp_path):
    whole = finish(start(tmp_path / "whole", tmp_path / "whole.log", "ask"))
    workspace, log = tmp_path / "ws", tmp_path / "log"
    batch, kills = 16, 0
    for after in (batch + random.randrange(1, batch), 2 * batch + random.randrange(1, batch)):
        process = start(workspace, log, "ask")
        while process.poll() is None and lines(log) < after:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills == 2
    answer = finish(start(workspace, log, "ask"))
    for name in ("calls", "prompt_tokens", "completion_tokens", "serial_depth"):
        assert answer["usage"][name] == whole["usage"][name], name
    stored = {}
    for folder, run in (("whole", whole), ("ws", answer)):
        with Library(tmp_path / folder) as library:
            stored[folder] = library.runs.steps(run["run_id"])
            assert library.database.rows("SELECT COUNT(*) FROM step_parts")[0][0] == 0
    for one, other in zip(stored["whole"], stored["ws"], strict=True):
        assert [call.prompt_sha256 for call in one.calls] == [call.prompt_sha256 for call in other.calls]
        assert (one.node, one.usage.calls, one.usage.total_tokens) == (
            other.node,
            other.usage.calls,
            other.usage.total_tokens,
        )
    index = {
        folder: next(s.usage.embedded_tokens for s in steps if s.node == "index") for folder, steps in stored.items()
    }
    assert index["ws"] == index["whole"] > 0


def test_a_run_that_dies_between_its_step_and_the_checkpoint_is_charged_once(tmp_path, monkeypatch):
    settings = {"gist": "model", "decline_below": 0}
    text = plant(essay(7, 300), ["The strongbox of the Ulpelhala office opens with 5265."])
    usages, left = [], {"gist", "index"}
    for harmed in (False, True):
        session = scripted_session(tmp_path / str(harmed))
        document = session.library.documents.add(text, title="t", source="t", loader="text/1")
        store = session.library.runs.add_step

        def die(run_id, step, *rest, store=store):
            store(run_id, step, *rest)
            if step.node in left:
                left.remove(step.node)
                raise OSError("died")

        if harmed:
            for _ in range(2):
                monkeypatch.setattr(session.library.runs, "add_step", die)
                with pytest.raises(OSError, match="died"):
                    if runs := session.library.runs.all():
                        session.resume(runs[0].id)
                    else:
                        session.ask("Which office?", [document.id], settings=settings)
            assert not left
            answer = session.resume(session.library.runs.all()[0].id)
        else:
            answer = session.ask("Which office?", [document.id], settings=settings)
        usages.append(answer.usage.model_dump(exclude={"seconds", "peak_host_bytes", "peak_device_bytes"}))
        session.close()
    assert usages[0]["calls"] > 0
    assert usages[0] == usages[1]


class GivesUp(ScriptedModel):
    """Finishes a part of its second batch and fails, as a server does that goes away."""

    batches = 0

    def generate(self, prompts, sampling, cancel=None):
        self.batches += 1
        if self.batches != 2:
            return super().generate(prompts, sampling, cancel)
        error = ModelError("The server went away.")
        error.finished = dict(enumerate(super().generate(prompts[:3], sampling, cancel)))
        raise error


def test_a_run_whose_batch_fails_is_charged_for_what_that_had_finished(tmp_path):
    settings = {"gist": "model", "decline_below": 0}
    text = plant(essay(7, 700), ["The strongbox of the Ulpelhala office opens with 5265."])
    usages = []
    for gister in (ScriptedModel, GivesUp):
        models = scripted_models()
        made = Models(models.reader, gister(lambda prompt: "A gist.", name="gister"), models.scorer, models.embedder)
        session = scripted_session(tmp_path / gister.__name__, made)
        document = session.library.documents.add(text, title="t", source="t", loader="text/1")
        if gister is GivesUp:
            with pytest.raises(ModelError):
                session.ask("Which office?", [document.id], settings=settings)
            [run] = session.library.runs.all()
            parts = session.library.database.rows("SELECT calls FROM step_parts ORDER BY id")
            assert len(json.loads(parts[-1]["calls"])) == 3
            answer = session.resume(run.id)
            assert session.library.database.rows("SELECT COUNT(*) FROM step_parts")[0][0] == 0
        else:
            answer = session.ask("Which office?", [document.id], settings=settings)
        usages.append(answer.usage.model_dump(exclude={"seconds", "peak_host_bytes", "peak_device_bytes"}))
        session.close()
    assert usages[0]["calls"] > 16
    assert usages[0] == usages[1]


def test_two_processes_do_not_run_one_run(tmp_path):
    from filelock import FileLock

    from rereader.schema import Budget, InputError

    session = scripted_session(tmp_path)
    document = session.add_text("Some text to ask about.", title="t", source="t")
    run = session.library.runs.create(
        "busy", question="What?", graph="retrieval", settings={}, models={}, budget=Budget(), document_ids=[document.id]
    )
    with (
        FileLock(f"{session.library.checkpoint_path(run.id)}.lock"),
        pytest.raises(InputError, match="another process"),
    ):
        session.resume(run.id)
    assert session.library.runs.get(run.id).status == "running"
