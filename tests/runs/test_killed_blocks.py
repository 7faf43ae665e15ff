"""kill -9 while blocks are made: finished batches stay, are not made again, and are charged for."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from rereader.memory.invariants import check_library
from rereader.memory.library import Library

SCRIPT = """
import sys, time
from pathlib import Path
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.testing.sessions import quoting_reply, scripted_session
from rereader.testing.texts import essay, plant

workspace, log = Path(sys.argv[1]), Path(sys.argv[2])

class Slow(ScriptedModel):
    def compress_kv(self, prompts, compression, cancel=None):
        made = super().compress_kv(prompts, compression, cancel)
        for prompt, block in zip(prompts, made):
            time.sleep(0.02)
            with log.open("a") as lines:
                lines.write(block.digest + "\\n")
        return made

models = Models(reader=Slow(quoting_reply, name="reader", attends=True), embedder=HashingEmbedder())
session = scripted_session(workspace, models)
settings = {"reads": "kv", "gist": "extract", "waves": 1, "chunk_tokens": 100, "decline_below": 0}
text = plant(essay(7, 700), ["The strongbox of the Ulpelhala office opens with 5265."])
document = session.library.documents.add(text, title="t", source="t", loader="text/1")
runs = session.library.runs.all()
question = "With which number does the strongbox of the Ulpelhala office open?"
answer = session.resume(runs[0].id) if runs else session.ask(question, [document.id], settings=settings)
print(answer.model_dump_json())
"""
BATCH = 16


def start(workspace, log):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(workspace), str(log)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err.decode()
    return json.loads(out)


def lines(log):
    return log.read_text().split() if log.exists() else []


@pytest.mark.skipif(os.name == "nt", reason="kills by a signal")
def test_a_run_that_is_killed_while_it_compresses_goes_on_and_is_charged_once(tmp_path):
    whole = finish(start(tmp_path / "whole", tmp_path / "whole.log"))
    workspace, log, kills = tmp_path / "ws", tmp_path / "log", 0
    for after in (BATCH + 5, 3 * BATCH + 7):
        process = start(workspace, log)
        while process.poll() is None and len(lines(log)) < after:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        with Library(workspace) as library:
            assert [finding for finding in check_library(library) if finding.state == "problem"] == []
    assert kills == 2
    answer = finish(start(workspace, log))
    assert answer["answer"] == whole["answer"]
    assert [e["quote"] for e in answer["evidence"]] == [e["quote"] for e in whole["evidence"]]
    for name in ("calls", "prompt_tokens", "completion_tokens", "serial_depth"):
        assert answer["usage"][name] == whole["usage"][name], name
    once = lines(tmp_path / "whole.log")
    assert set(lines(log)) == set(once)
    assert len(lines(log)) - len(once) <= kills * BATCH  # only the batch that was at work is made again
    with Library(workspace) as library:
        assert library.bank.leftovers(0) == []
        assert library.database.rows("SELECT COUNT(*) FROM step_parts")[0][0] == 0
