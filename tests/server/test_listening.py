"""Where the server listens, with which key, and how it ends."""

import socket
import time

import httpx2 as httpx
import pytest
from served import BOOK, TOKEN

from rereader.schema import InputError
from rereader.server.listening import Listening, listen, new_token
from rereader.testing.serving import scripted_backend, serving

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "0.0.0.0"])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "203.0.113.7", "machine.lan", "", "127.0.0.1.elsewhere.test"])
def test_other_machines_are_not_let_in_by_chance(host):
    with pytest.raises(InputError) as raised:
        listen(host, 0, TOKEN)
    assert "--allow-remote" in raised.value.hint


def test_the_address_holds_the_key():
    found = listen("127.0.0.1", 0, TOKEN)
    with found.socket:
        port = found.socket.getsockname()[1]
        assert found.rules.port == port > 0
        assert found.url == f"http://127.0.0.1:{port}/?token={TOKEN}"
        assert found.rules.hosts == {"127.0.0.1", "localhost", "[::1]"}
        with pytest.raises(InputError, match="is in use") as raised:
            listen("127.0.0.1", port, TOKEN)
        assert "--port 0" in raised.value.hint


def test_a_server_for_others_goes_by_any_name():
    found = listen("0.0.0.0", 0, TOKEN, allow_remote=True)
    with found.socket:
        assert found.rules.hosts is None
        assert found.url.startswith("http://localhost:")


def test_an_address_of_six_words_stands_in_brackets():
    from rereader.server.guard import Rules

    with socket.socket() as held:
        found = Listening(held, "::1", Rules(TOKEN, 80, frozenset({"[::1]"})))
        assert found.url == f"http://[::1]:80/?token={TOKEN}"


@pytest.mark.parametrize(
    ("host", "port"), [("203.0.113.7", 0), ("127.0.0.1", 99999), ("127.0.0.1", -1), ("no such name", 0)]
)
def test_an_address_that_cannot_be(host, port):
    with pytest.raises(InputError) as raised:
        listen(host, port, TOKEN, allow_remote=True)
    assert raised.value.hint


def test_a_key_is_new_at_every_start_unless_it_is_said():
    assert new_token({}) != new_token({}) and len(new_token({})) >= 32
    assert new_token({"REREADER_TOKEN": TOKEN}) == TOKEN


@pytest.mark.parametrize(
    "token", ["", "short", "x" * 15, "x" * 201, "with a blank in it", "with&a=sign-in-it", "ä" * 20]
)
def test_a_key_that_is_said_must_be_sound(token):
    with pytest.raises(InputError, match="REREADER_TOKEN"):
        new_token({"REREADER_TOKEN": token})


def test_a_run_is_watched_live_over_a_socket(tmp_path):
    with serving(tmp_path, seconds=0.02) as served:
        headers = {"Authorization": f"Bearer {served.token}"}
        with httpx.Client(base_url=served.url, headers=headers, timeout=30, trust_env=False) as client:
            with client.stream("GET", "/api/events") as stream:
                lines = stream.iter_lines()
                assert next(lines) == "retry: 1000"
                added = client.post("/api/documents?name=book.txt", content=BOOK.encode()).json()["job"]
                seen = []
                for line in lines:  # a workspace without documents cannot be asked
                    seen.append(line)
                    if f'"id":"{added}"' in line and '"state":"done"' in line:
                        break
                job = client.post("/api/runs", json={"question": "Who keeps the bees?"}).json()["job"]
                for line in lines:
                    seen.append(line)
                    if f'"id":"{job}"' in line and '"state":"done"' in line:
                        break
            text = "\n".join(seen)
            assert f'"id":"{added}"' in text
            assert "event: step" in text and '"node":"reason"' in text and "event: progress" in text
            began = time.monotonic()
            for _ in range(5):
                assert client.get("/api/jobs").status_code == 200
            assert time.monotonic() - began < 5


def test_a_stream_ends_when_the_server_does_and_work_is_told_as_stopped(tmp_path):
    with serving(tmp_path, seconds=0.2) as served:
        headers = {"Authorization": f"Bearer {served.token}"}
        served.backend.library.documents.add(BOOK * 5, title="b", source="b", loader="text/1")
        client = httpx.Client(base_url=served.url, headers=headers, timeout=30, trust_env=False)
        with client, client.stream("GET", "/api/events") as stream:
            lines = stream.iter_lines()
            client.post("/api/runs", json={"question": "Who keeps the bees?"})
            for line in lines:
                if '"node":"reason"' in line:
                    break
            served.backend.desk.stop_all()
            assert '"state":"stopped"' in "\n".join(lines)


def test_a_backend_can_be_had_without_a_server(tmp_path):
    scripted_backend(tmp_path).close()
