"""One question of one book through three readers: in this process, `transformers serve`, a llama.cpp server."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from rereader.models.base import Sampling, Segment
from rereader.models.roles import RoleNames
from rereader.runs.session import open_session
from rereader.testing.texts import essay, plant

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1"])]
SECONDS_TO_START = 180
FACT = "Kelveris Corolmara keeps forty hives at the bottom of the orchard."
QUESTION = "Who keeps forty hives?"
SETTINGS = {"gist": "extract", "gate": "similarity", "accept": 2, "waves": 1, "decline_below": 0, "max_new_tokens": 24}
LLAMA = """
import sys, time, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.n_ctx, params.n_parallel = sys.argv[1], int(sys.argv[2]), 4096, 2
params.hostnames = ["127.0.0.1"]
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
server = xllamacpp.Server(params)
time.sleep(3600)
"""


def free_port():
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command, port, log):
    """A server while it is needed; its address."""
    with log.open("wb") as out:
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2"}
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=out, env=environment)
    try:
        wait(process, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def wait(process, address, log):
    """Return as soon as the server says that it is well."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), opener.open(address, timeout=5):
            return
        time.sleep(0.3)
    pytest.fail(f"the server did not start:\n{log.read_text()[-3000:]}")


def servable(folder, target):
    """The model folder with the name of its class in the config, which `transformers serve` wants to know."""
    config = json.loads((folder / "config.json").read_text())
    target.mkdir()
    for path in folder.iterdir():
        if path.name != "config.json":
            (target / path.name).symlink_to(path.resolve())
    (target / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], **config}))
    return target


@pytest.fixture
def serve(pulled_model, tmp_path):
    """Start a server by name: its address and the model's name there."""
    folder = pulled_model("smollm2-135m")

    @contextmanager
    def transformers():
        if find_spec("uvicorn") is None or find_spec("fastapi") is None:
            pytest.skip("transformers serve needs fastapi and uvicorn")
        served, port = servable(folder, tmp_path / "served"), free_port()
        program = Path(sys.executable).parent / "transformers"
        options = ["--host", "127.0.0.1", "--port", port, "--device", "cpu", "--dtype", "float32"]
        with running([program, "serve", served, *options], port, tmp_path / "log") as url:
            yield url, str(served)

    @contextmanager
    def llama():
        if find_spec("xllamacpp") is None:
            pytest.skip("xllamacpp is not installed")
        files = sorted(folder.glob("*.gguf"))
        if not files:
            pytest.skip("the pulled folder holds no GGUF file; run: rereader models pull smollm2-135m")
        port = free_port()
        with running([sys.executable, "-c", LLAMA, files[0], port], port, tmp_path / "log") as url:
            yield url, "smollm2"

    return {"transformers": transformers, "llama": llama}


def names(reader):
    return RoleNames(reader=reader, gister="none", scorer="none", embedder="hashing")


def whole(stream):
    """The pieces of a stream and the reply it returns."""
    pieces = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            return pieces, end.value


@pytest.mark.parametrize("kind", ["transformers", "llama"])
def test_a_served_reader_finds_cites_and_counts_like_the_local_one(
    kind, serve, models_dir, workspace, tmp_path, monkeypatch
):
    text = plant(essay(1, 250), [FACT])
    prompt = (Segment("user", f"{FACT}\n", trusted=False), Segment("user", f"{QUESTION} Answer in one sentence."))
    sampling = Sampling(max_new_tokens=24, stop=("\n",))
    monkeypatch.setenv("REREADER_CONFIG", str(tmp_path / "config.toml"))
    with open_session(workspace, names=names("smollm2-135m"), models_dir=models_dir) as session:
        document = session.add_text(text, title="t", source="t", settings=SETTINGS)
        local = session.ask(QUESTION, [document.id], settings=SETTINGS)
        [size] = session.models.reader.prompt_tokens([prompt])
    with serve[kind]() as (url, model):
        (tmp_path / "config.toml").write_text(
            f'[endpoints.served]\nmodel = "openai:{model}"\nbase_url = "{url}"\ntokenizer = "smollm2-135m"\n'
            "context_window = 2048\n"
        )
        with open_session(workspace, names=names("served"), models_dir=models_dir) as session:
            served = session.ask(QUESTION, [document.id], settings=SETTINGS)
            reader = session.models.reader
            [reply] = reader.generate([prompt], sampling)
            pieces, streamed = whole(reader.stream(prompt, sampling))
            [reserved] = reader.prompt_tokens([prompt])

    # The same book, cut the same way: nothing is made again, and the same passages are read.
    assert any(FACT in item.quote for item in served.evidence)
    assert [(e.start, e.end) for e in served.evidence] == [(e.start, e.end) for e in local.evidence]
    assert all(text[item.start : item.end] == item.quote for item in served.evidence)
    assert served.answer and served.models["reader"] == "served"
    # Streamed, and the same reply as in one piece.
    assert len(pieces) > 1 and "".join(pieces) == streamed.text == reply.text != ""
    assert streamed.prompt_tokens == reply.prompt_tokens and streamed.completion_tokens == reply.completion_tokens
    # The server counts what the tokenizer here counts, but for merges where segments meet.
    assert abs(reply.prompt_tokens - size) <= 2 and reply.prompt_tokens <= reserved
    assert 0 < reply.completion_tokens <= sampling.max_new_tokens + 1
    assert abs(served.usage.prompt_tokens - local.usage.prompt_tokens) <= 0.08 * local.usage.prompt_tokens
    assert served.usage.calls == local.usage.calls and served.usage.cached_calls == 0
    assert not any("estimated" in warning for warning in served.warnings)
