"""``rereader serve``: what it prints, what it refuses, how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from rereader.cli.main import run

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def start(workspace, *arguments):
    command = [sys.executable, "-m", "rereader", "serve", "--port", "0", "--model", "extractive", *arguments]
    environment = {**os.environ, "REREADER_WORKSPACE": str(workspace), "REREADER_MODELS": str(workspace / "none")}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


def status(url, **headers):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return opener.open(urllib.request.Request(url, headers=headers), timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
def test_it_serves_until_ctrl_c_and_logs_no_key(workspace):
    server = start(workspace, "--json")
    try:
        printed = ""
        while not printed.endswith("}\n"):
            line = server.stdout.readline()
            assert line, server.stderr.read()
            printed += line
        said = json.loads(printed)
        assert said["url"] == f"http://127.0.0.1:{said['port']}/?token={said['token']}"
        api = f"http://127.0.0.1:{said['port']}/api/about"
        assert status(api) == 401
        assert status(api, Authorization=f"Bearer {said['token']}") == 200
        assert status(f"http://127.0.0.1:{said['port']}/nothing?token={said['token']}x") == 401
    finally:
        server.send_signal(signal.SIGINT)
        _, told = server.communicate(timeout=60)
    assert server.returncode == 0, told
    assert said["token"] not in told and "/api/about" not in told
    assert "Ctrl-C" in told and "Traceback" not in told


def test_bad_addresses_are_refused(workspace, capsys):
    common = ["serve", "--model", "extractive", "--workspace", str(workspace)]
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        assert run([*common, "--port", str(held.getsockname()[1])]) == 2
    assert "is in use" in capsys.readouterr().err
    assert run([*common, "--host", "0.0.0.0"]) == 2
    assert "--allow-remote" in capsys.readouterr().err
    assert run([*common, "--port", "70000"]) == 2
    assert run([*common, "--port", "0", "--role", "reader=nothing-of-the-kind"]) == 2
    assert run([*common, "--port", "0", "--role", "nobody=x"]) == 2


def test_a_short_key_is_refused(workspace, capsys, monkeypatch):
    monkeypatch.setenv("REREADER_TOKEN", "short")
    assert run(["serve", "--model", "extractive", "--workspace", str(workspace), "--port", "0"]) == 2
    assert "REREADER_TOKEN" in capsys.readouterr().err


def test_without_its_packages_it_says_which_to_install(workspace):
    code = (
        "import sys\n"
        "sys.modules['uvicorn'] = None\n"
        "from rereader.cli.main import run\n"
        "sys.exit(run(['serve', '--port', '0', '--workspace', sys.argv[1]]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(workspace)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    assert "rereader[serve]" in done.stderr and "Traceback" not in done.stderr


def test_the_command_line_loads_nothing_of_it():
    code = (
        "import sys, rereader.cli.main; print(*({'fastapi', 'starlette', 'uvicorn', 'langgraph'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.split() == []
