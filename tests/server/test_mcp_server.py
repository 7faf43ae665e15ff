"""The server of tools at work: progress, turns, cancelling, a process of its own, the command that starts it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import anyio
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from protocol_client import MODES, talk
from strongbox import FACT, QUESTION

from rereader.cli.main import run as run_command
from rereader.memory.library import Library
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.server.mcp_tools import Desk
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

TEXT = plant(essay(1, 300), [FACT])
WITHOUT_MODELS = ["--model", "extractive", "--role", "gister=none", "--role", "scorer=none", "--role"]
WITHOUT_MODELS += ["embedder=hashing"]


@pytest.fixture
def desk(tmp_path):
    session = scripted_session(tmp_path)
    session.library.documents.add(TEXT, title="strongbox.txt", source="strongbox.txt", loader="text/1")
    yield Desk(session, "retrieval", {"decline_below": "0"})
    session.close()


# Progress, turns, cancelling


class Slow:
    """A reader that takes its time; it says when it was first asked."""

    def __init__(self):
        self.asked = threading.Event()
        self.pause = 0.05

    def __call__(self, _prompt):
        self.asked.set()
        time.sleep(self.pause)
        return "The memory is this."


@pytest.fixture
def slow(tmp_path):
    """A reader, and a desk whose questions take it seconds."""
    reader = Slow()
    session = scripted_session(tmp_path, Models(reader=ScriptedModel(reader), embedder=HashingEmbedder()))
    session.library.documents.add(plant(essay(1, 3_000), [FACT]), title="long", source="long", loader="text/1")
    yield reader, Desk(session, "memory-agent", {"block_tokens": 200, "memory_tokens": 50, "decline_below": 0})
    session.close()


@pytest.mark.parametrize("mode", MODES)
def test_each_step_is_told_while_the_run_is_at_work(desk, mode):
    told = []

    async def hear(progress, total, message):
        told.append((progress, message))

    async def conversation(client):
        return await client.call_tool("ask", {"question": QUESTION}, progress_callback=hear)

    answer = talk(desk, conversation, mode).structured_content
    numbers = [number for number, _ in told]
    assert numbers == sorted(set(numbers))
    for node in ("chunk", "index", "retrieve", "answer"):
        assert any(message.startswith(f"run {answer['run_id']}, step ") and node in message for _, message in told)


@pytest.mark.parametrize("mode", MODES)
def test_cancelling_a_request_stops_its_run_which_can_be_resumed(slow, mode):
    reader, desk = slow
    library = desk.session.library

    async def conversation(client):
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "ask", {"question": QUESTION})
            await anyio.to_thread.run_sync(reader.asked.wait)
            group.cancel_scope.cancel()
        with anyio.fail_after(10):  # the next request waits until the run has stopped
            return await client.call_tool("search", {"query": "strongbox", "limit": 1})

    result = talk(desk, conversation, mode)
    assert not result.is_error
    run = library.runs.all()[0]
    assert run.status == "interrupted" and not library.is_at_work(run.id)
    steps = library.runs.steps(run.id)
    reader.pause = 0
    answer = desk.session.resume(run.id)
    assert answer.status == "answered"
    assert library.runs.steps(run.id)[: len(steps)] == steps


def test_a_client_that_goes_away_stops_its_run(slow):
    reader, desk = slow

    async def conversation(client):
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "ask", {"question": QUESTION})
            await anyio.to_thread.run_sync(reader.asked.wait)
            group.cancel_scope.cancel()

    talk(desk, conversation)
    assert desk.session.library.runs.all()[0].status == "interrupted"


def test_reading_waits_for_no_run_and_questions_take_turns(slow):
    reader, desk = slow

    async def conversation(client):
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "ask", {"question": QUESTION})
            await anyio.to_thread.run_sync(reader.asked.wait)
            group.start_soon(client.call_tool, "ask", {"question": "And what else?"})
            listed = await client.call_tool("list_documents", {})
            shown = await client.call_tool("show_run", {"run_id": desk.session.library.runs.all()[0].id})
            await anyio.sleep(0.2)
            begun = len(desk.session.library.runs.all())
            group.cancel_scope.cancel()
        return listed, shown, begun

    listed, shown, begun = talk(desk, conversation)
    assert listed.structured_content["documents"][0]["title"] == "long"
    assert shown.structured_content["run"]["status"] == "running" and begun == 1


def test_reading_waits_for_no_write_of_a_run(tmp_path, desk):
    """The session's connection is held as long as a step is written; another process may make that a minute."""
    writing, let_go = threading.Event(), threading.Event()

    def write():
        with desk.session.library.database.transaction():
            writing.set()
            let_go.wait(30)

    async def conversation(client):
        with anyio.move_on_after(10):
            return await client.call_tool("list_documents", {})

    writer = threading.Thread(target=write)
    with Library(desk.session.library.workspace) as library:
        writer.start()
        writing.wait(30)
        threading.Timer(12, let_go.set).start()  # so that a failure ends, too
        listed = talk(replace(desk, own_library=library), conversation)
        waited = let_go.is_set()
        let_go.set()
        writer.join()
    assert not waited and listed.structured_content["documents"][0]["title"] == "strongbox.txt"


# A process of its own


@pytest.fixture
def environment(tmp_path, root):
    """The environment of the child: a workspace with one document, nobody's models."""
    with Library(tmp_path / "ws") as library:
        library.documents.add(TEXT, title="strongbox.txt", source="strongbox.txt", loader="text/1")
    return {**os.environ, "REREADER_MODELS": str(tmp_path / "models"), "REREADER_CONFIG": os.devnull}


def test_a_client_starts_the_command_and_asks(tmp_path, environment):
    command = ["-m", "rereader", "mcp", "--workspace", str(tmp_path / "ws"), *WITHOUT_MODELS, "--graph", "retrieval"]
    parameters = StdioServerParameters(command=sys.executable, args=command, env=environment)

    async def conversation():
        with (tmp_path / "log.txt").open("w") as log, anyio.fail_after(120):
            async with Client(stdio_client(parameters, errlog=log)) as client:
                listed = await client.call_tool("list_documents", {})
                answer = await client.call_tool("ask", {"question": QUESTION})
                failed = await client.call_tool("ask", {"question": ""})
                run = await client.call_tool("show_run", {"run_id": answer.structured_content["run_id"]})
        return listed, answer.structured_content, failed, run

    listed, answer, failed, run = anyio.run(conversation)
    assert listed.structured_content["documents"][0]["title"] == "strongbox.txt"
    assert FACT in answer["answer"] and answer["evidence"][0]["verified"]
    assert failed.is_error and "The question is empty." in failed.content[0].text
    assert run.structured_content["run"]["status"] == "answered"
    log = (tmp_path / "log.txt").read_text()
    assert "Serving tools" in log and "Traceback" not in log


def test_standard_output_holds_the_protocol_alone_and_its_end_ends_the_server(tmp_path, environment):
    first = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
    about = {"capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    first["params"] = {"protocolVersion": "2025-06-18", **about}
    lines = [json.dumps(first), "no JSON", json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"})]
    lines.append(json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}))
    command = [sys.executable, "-m", "rereader", "mcp", "--workspace", str(tmp_path / "ws"), *WITHOUT_MODELS]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        child.stdin.write("\n".join(lines) + "\n")
        child.stdin.flush()
        said = [json.loads(child.stdout.readline())]
        while said[-1].get("id") != 2:
            said.append(json.loads(child.stdout.readline()))
        rest, log = child.communicate(timeout=60)
    assert child.returncode == 0 and rest == "" and "Traceback" not in log
    assert said[0]["result"]["serverInfo"]["name"] == "rereader"
    assert {tool["name"] for tool in said[-1]["result"]["tools"]} >= {"ask", "search"}


def test_ctrl_c_ends_the_server_while_it_waits_for_input(tmp_path, environment):
    command = [sys.executable, "-m", "rereader", "mcp", "--workspace", str(tmp_path / "ws"), *WITHOUT_MODELS]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert "Serving tools" in child.stderr.readline()
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        out, log = child.communicate(timeout=10)
    assert child.returncode == -signal.SIGINT and out == "" and "Traceback" not in log


# The command


def test_the_command_line_imports_no_protocol_until_it_is_asked_to():
    code = "import sys, rereader.cli.main; print('mcp' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "False"


def test_the_command_reads_by_a_connection_of_its_own_and_knows_its_folders(workspace, monkeypatch):
    desks = []
    monkeypatch.setattr("rereader.server.mcp.serve", desks.append)
    monkeypatch.chdir(workspace.parent)
    before = signal.getsignal(signal.SIGINT)
    try:
        assert run_command(["mcp", "--workspace", ".", *WITHOUT_MODELS]) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    [desk] = desks
    assert desk.library is not desk.session.library
    assert desk.library.database is not desk.session.library.database
    assert workspace.parent in desk.folders and all(folder.is_absolute() for folder in desk.folders)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--graph", "ledgr"], "Did you mean 'ledger'?"),
        (["--set", "ranker=none", "--graph", "retrieval"], "Setting 'ranker'"),
        (["--max-tokens", "-1"], "negative"),
        (["--memory", "kv", "--graph", "retrieval"], "no choice for --memory"),
    ],
)
def test_options_that_cannot_be_used_are_refused_before_anything_is_served(workspace, capsys, arguments, said):
    assert run_command(["mcp", *WITHOUT_MODELS, *arguments]) == 2
    assert said in capsys.readouterr().err


def test_without_the_extra_the_command_says_how_to_install_it(workspace, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "mcp"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("rereader.server.mcp", "rereader.server.mcp_progress"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)
    assert run_command(["mcp", *WITHOUT_MODELS]) == 2
    captured = capsys.readouterr()
    assert "pip install 'rereader[mcp]'" in captured.err and captured.out == ""
