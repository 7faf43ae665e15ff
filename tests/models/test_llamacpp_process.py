from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from filelock import FileLock
from tiny_llamacpp import make, some

pytest.importorskip("xllamacpp", reason="the extra llamacpp is not installed")

from rereader.models import gguf_parts, llamacpp_process
from rereader.models.base import Cancel, LanguageModel, Prompt, Sampling, Segment
from rereader.models.idle import idle_cores
from rereader.models.llamacpp import LlamaCppModel
from rereader.models.llamacpp_child import Engine, Failed, Jobs, Stopped, write
from rereader.models.local import LocalModel
from rereader.schema.errors import Interrupted, MissingExtra, ModelError


class FakeServer:
    """Answers like the server; runs ``before`` ahead of every chunk and remembers how often it was asked."""

    def __init__(self, before: Any = None, error: str = "") -> None:
        self.asked: list[list[int]] = []
        self._before = before
        self._error = error

    def handle_completions(self, request: dict[str, Any], take: Any) -> None:
        self.asked.append(request["prompt"])
        if self._error:
            take({"error": {"message": self._error, "code": 400}})
            return
        top = [{"id": len(request["prompt"]), "logprob": -0.5}]
        content = [{"id": request["logit_bias"][0][0], "logprob": -3.0, "top_logprobs": top}]
        usage = {"prompt_tokens": len(request["prompt"]), "prompt_tokens_details": {"cached_tokens": 0}}
        for chunk in (
            {"choices": [{"text": "", "logprobs": None}], "prompt_progress": {}},
            {"choices": [{"text": "a", "logprobs": {"content": content}}]},
            {"choices": [{"text": "", "logprobs": None}], "usage": usage},
        ):
            if self._before is not None:
                self._before(len(self.asked))
            if take(chunk):
                return


class FakeJobs(Jobs):
    """Jobs that are stopped by setting ``stopped``."""

    def __init__(self) -> None:
        self._stopped = -1


class Lines:
    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line)

    def flush(self) -> None:
        pass


def a_job(most: int = 50, ends: Sequence[int] = ()) -> dict[str, Any]:
    return {"id": 7, "prompt": [1, 2, 3], "most": most, "ends": list(ends), "temperature": 0, "seed": 0}


def test_the_process_stops_at_the_next_token_and_inside_a_prompt() -> None:
    jobs, out = FakeJobs(), Lines()
    server = FakeServer(before=lambda call: setattr(jobs, "_stopped", 7 if call == 3 else -1))
    with pytest.raises(Stopped):
        write(Engine(server, 0, 300), a_job(), jobs, out)  # type: ignore[arg-type]
    assert server.asked == [[1, 2, 3], [1, 2, 3, 3], [1, 2, 3, 3, 4]] and len(out.lines) == 2
    jobs, out = FakeJobs(), Lines()
    write(Engine(FakeServer(), 0, 300), a_job(ends=[5]), jobs, out)  # type: ignore[arg-type]
    assert len(out.lines) == 3
    with pytest.raises(Failed, match="too long"):
        write(Engine(FakeServer(error="too long"), 0, 300), a_job(), jobs, out)  # type: ignore[arg-type]


# The process


def test_nothing_listens_on_the_network(tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children()}
    make(tmp_path)
    made = LlamaCppModel.load(tmp_path, name="tiny", threads=1)
    assert made.process_id is None
    made.generate(some(1, 1), Sampling(2))
    child = psutil.Process(made.process_id)
    for process in (psutil.Process(), child):
        assert [found for found in process.net_connections("inet") if found.status == psutil.CONN_LISTEN] == []
    for found in child.net_connections("unix"):
        assert not found.laddr or not Path(found.laddr).exists()
    made.close()
    made.close()
    assert not child.is_running()
    assert {child.pid for child in psutil.Process().children()} <= before
    with pytest.raises(ModelError, match="closed"):
        made.generate(some(1, 1), Sampling(2))


def test_the_process_ends_with_its_owner(llama: LlamaCppModel) -> None:
    llama.generate(some(1, 1), Sampling(1))
    child = llama._process._child
    assert child is not None and child.stdin is not None
    child.stdin.close()  # what the system does when the owner dies
    assert child.wait(10) == 0
    assert llama.generate(some(1, 1), Sampling(1))  # a new one is started


def test_loading_can_be_stopped(llama: LlamaCppModel) -> None:
    llama._process.end()
    with pytest.raises(Interrupted, match="loading"):
        next(llama._process.run({"do": "score", "prompt": [5], "continuations": [[6]]}, 8, lambda: True))
    assert llama.process_id is None
    assert llama.generate(some(1, 1), Sampling(1))


def test_waiting_for_the_weights_and_for_another_process_is_told(
    llama: LlamaCppModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama, "_lock", tmp_path / "lock")
    before = llama.waited, llama.loading
    llama._process.end()
    llama.generate(some(1, 1), Sampling(1))
    loaded = llama.loading
    assert loaded > before[1] and llama.waited == pytest.approx(before[0], abs=0.2)
    other = FileLock(tmp_path / "lock", thread_local=False)
    other.acquire()
    threading.Timer(1.0, other.release).start()
    started = time.monotonic()
    llama.generate(some(1, 1), Sampling(1))
    assert 0.5 < llama.waited - before[0] < time.monotonic() - started + 0.2
    assert llama.loading == loaded, "a process that is there loads nothing"


def test_a_killed_process_is_one_plain_error_and_starts_again(llama: LlamaCppModel) -> None:
    [prompt] = some("kill", 1)
    stream = llama.stream(prompt, Sampling(max_new_tokens=60, temperature=1.0))
    next(stream)
    psutil.Process(llama.process_id).kill()
    with pytest.raises(ModelError, match=r"process of llama\.cpp for tiny\.gguf ended"):
        list(stream)
    assert llama.generate([prompt], Sampling(max_new_tokens=2))


def test_a_broken_file_is_one_plain_error(tmp_path: Path) -> None:
    make(tmp_path)
    data = (tmp_path / "tiny.gguf").read_bytes()
    (tmp_path / "tiny.gguf").write_bytes(data[: len(data) // 2])
    made = LlamaCppModel.load(tmp_path, name="tiny", threads=1)
    with pytest.raises(ModelError, match="ended") as caught:
        made.generate(some(1, 1), Sampling(1))
    assert "\n" not in str(caught.value) and "--runtime transformers" in caught.value.hint
    made.close()


def test_the_context_grows_with_the_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llamacpp_process, "_LEAST_CONTEXT", 64)
    make(tmp_path)
    made = LlamaCppModel.load(tmp_path, name="tiny", threads=1)
    short, long = (Segment("user", "x", trusted=False),), (Segment("user", "x" * 60, trusted=False),)
    made.generate([short], Sampling(1))
    first = made.process_id
    made.generate([short], Sampling(2))
    assert made.process_id == first and made._process._context == 64
    made.generate([long], Sampling(1))
    assert made.process_id != first and made._process._context == 128
    made.close()


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="holds no GGUF file"):
        LlamaCppModel.load(tmp_path, name="tiny")
    (tmp_path / "t.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match="tokenizer"):
        LlamaCppModel.load(tmp_path, name="tiny")
    monkeypatch.setattr(gguf_parts, "has_llamacpp", lambda: False)
    with pytest.raises(MissingExtra) as caught:
        LlamaCppModel.load(tmp_path, name="tiny")
    assert "rereader[llamacpp]" in caught.value.hint


def test_fingerprints_tell_files_apart(tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        make(folder)
        made.append(LlamaCppModel.load(folder, name="same", threads=1))
    again = LlamaCppModel.load(tmp_path / "a", name="other name", threads=1)
    assert made[0].fingerprint == again.fingerprint != made[1].fingerprint


def test_idle_cores() -> None:
    assert 1 <= idle_cores() <= (psutil.cpu_count() or 1)


# A real model


@pytest.fixture(scope="module")
def real(pulled_model: Any) -> Iterator[LlamaCppModel]:
    folder = pulled_model("smollm2-135m")
    if gguf_parts.find_gguf(folder) is None:
        pytest.skip("the GGUF file was not kept; run: rereader models pull smollm2-135m")
    made = LlamaCppModel.load(folder, name="smollm2-135m")
    yield made
    made.close()


TEXT = "The mill at Orrin stood empty for nine years. In 1897 it was sold to Ada Tolan, who mended the wheel. " * 8


def question(words: str) -> Prompt:
    return (
        Segment("system", "Answer in a few words."),
        Segment("user", TEXT, trusted=False, cacheable=True),
        Segment("user", words, trusted=False),
    )


@pytest.mark.models
def test_real_model_reads_a_second_question_only(real: LlamaCppModel) -> None:
    first, second = question(" Who bought the mill?"), question(" When was it sold?")
    [reply] = real.generate([first], Sampling(24))
    before = real.cached_tokens
    [other] = real.generate([second], Sampling(24))
    assert real.cached_tokens - before > 0.9 * other.prompt_tokens
    assert "Tolan" in reply.text and "1897" in other.text


@pytest.mark.models
def test_real_model_agrees_with_transformers(real: LlamaCppModel, pulled_model: Any) -> None:
    folder = pulled_model("smollm2-135m")
    plain: LanguageModel = LocalModel.load(folder, name="plain", dtype="float32")
    prompt = question(" Who bought the mill?")
    assert real.prompt_tokens([prompt]) == plain.prompt_tokens([prompt])
    found, expected = (each.choose([prompt], ["Ada", "Nobody", "The"])[0] for each in (real, plain))
    plain.close()
    # llama.cpp rounds activations to 8 bits
    assert found.argmax() == expected.argmax() and np.abs(np.exp(found) - np.exp(expected)).max() < 0.1


@pytest.mark.models
def test_real_model_stops_inside_a_long_prompt(real: LlamaCppModel) -> None:
    cancel, words = Cancel(), random.Random().choices(["mill", "wheel", "bees", "hill", "Orrin"], k=6000)
    prompt = (Segment("user", " ".join(words), trusted=False),)
    real.generate([question(" Who?")], Sampling(1))
    threading.Timer(1.0, cancel.set).start()
    with pytest.raises(Interrupted):
        real.generate([prompt], Sampling(50), cancel)
    process = psutil.Process(real.process_id)
    for _ in range(10):  # a block of the prompt may still be under way, for seconds where others use the cores
        used = process.cpu_times().user
        time.sleep(1.0)
        if process.cpu_times().user - used < 0.1:
            return
    pytest.fail("the process went on reading")
