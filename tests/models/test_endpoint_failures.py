"""Servers that are down, slow, busy, confused or locked: one line, a hint, exit code 5, and the key in neither."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from rereader.models import failures
from rereader.models.base import Prompt, Sampling, Segment
from rereader.models.endpoint import ChatEndpoint
from rereader.models.failures import Server, explain, is_passing, retry_after
from rereader.schema.endpoint import EndpointSettings
from rereader.schema.errors import Interrupted, ModelError
from rereader.testing.chat_server import Act, ChatServer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
HELLO: Prompt = (Segment("user", "hello"),)
KEY = "sk-very-secret-0123456789"
Open = Callable[..., ChatEndpoint]


@pytest.fixture
def open_endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens endpoints that pause but shortly between attempts, and closes them in the end."""
    monkeypatch.setattr(failures, "_FIRST_WAIT", 0.01)
    opened: list[ChatEndpoint] = []

    def make(url: str, **changes: Any) -> ChatEndpoint:
        values = {"model": "openai:fake", "base_url": url, "context_window": 4096, **changes}
        opened.append(ChatEndpoint.connect(EndpointSettings.model_validate(values)))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def failing(endpoint: ChatEndpoint) -> ModelError:
    """The error of a call and of a stream, which must be the same."""
    with pytest.raises(ModelError) as called:
        endpoint.generate([HELLO], Sampling())
    with pytest.raises(ModelError) as streamed:
        list(endpoint.stream(HELLO, Sampling()))
    assert called.value.message == streamed.value.message
    assert called.value.exit_code == 5 and called.value.hint and "\n" not in str(called.value)
    return called.value


REFUSALS = {
    "wrong model": (Act(status=404, message="The model `x` does not exist"), "does not know the model fake", "name"),
    "no such address": (Act(status=404, raw=b"<html>Not Found</html>"), "404", "/v1"),
    "wrong key": (Act(status=401, message="Incorrect API key"), "refuses the key", "--api-key-env"),
    "forbidden": (Act(status=403, message="no"), "refuses the key", "--api-key-env"),
    "too long": (Act(status=400, message="maximum context length is 9 tokens"), "too long for fake", "context_window"),
    "llama.cpp too long": (Act(status=400, message="exceeds the available context size"), "too long", "context_window"),
    "bad request": (Act(status=400, message="messages must be an apple"), "an apple", "settings"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_said_in_one_line_and_not_tried_again(open_endpoint: Open, name: str) -> None:
    act, said, hint = REFUSALS[name]
    with ChatServer(then=act) as server:
        error = failing(open_endpoint(server.url, retries=3))
    assert said in error.message and hint in error.hint
    assert len(server.seen) == 2


@pytest.mark.parametrize("raw", [b"<html>garbage", b"{}", b'{"choices": null}', b'{"choices": []}', b"", b"[1, 2]"])
def test_a_malformed_reply_is_no_answer(open_endpoint: Open, raw: bytes) -> None:
    with ChatServer(then=Act(raw=raw)) as server:
        endpoint = open_endpoint(server.url, retries=3)
        for work in (lambda: endpoint.generate([HELLO], Sampling()), lambda: list(endpoint.stream(HELLO, Sampling()))):
            with pytest.raises(ModelError, match="cannot be read"):
                work()
    assert len(server.seen) == 2


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_passing_failures_are_tried_again(open_endpoint: Open, status: int) -> None:
    with ChatServer(lambda _: "fine", [Act(status=status)] * 2) as server:
        endpoint = open_endpoint(server.url, retries=2)
        assert endpoint.generate([HELLO], Sampling())[0].text == "fine"
        server.then = Act(status=status, message="still")
        error = failing(endpoint)
    assert str(status) in error.message and "still" in error.message
    assert len(server.seen) == 3 + 3 + 3


def test_the_server_s_own_pause_is_kept(open_endpoint: Open) -> None:
    with ChatServer(lambda _: "fine", [Act(status=429, headers={"Retry-After": "1"})]) as server:
        began = time.monotonic()
        assert open_endpoint(server.url).generate([HELLO], Sampling())[0].text == "fine"
        assert time.monotonic() - began >= 1
    with ChatServer(then=Act(status=429, headers={"Retry-After": "3600"})) as server:
        failing(open_endpoint(server.url))
    assert len(server.seen) == 2


def test_a_pause_ends_when_the_work_is_cancelled(open_endpoint: Open) -> None:
    cancel = threading.Event()
    with ChatServer(then=Act(status=429, headers={"Retry-After": "60"})) as server:
        threading.Timer(0.2, cancel.set).start()
        began = time.monotonic()
        with pytest.raises(Interrupted):
            open_endpoint(server.url).generate([HELLO], Sampling(), cancel)
        assert time.monotonic() - began < 5


def test_a_slow_server_is_asked_again_once_which_is_told_and_left_in_the_end(
    open_endpoint: Open, caplog: pytest.LogCaptureFixture
) -> None:
    with ChatServer(then=Act(seconds=60)) as server:
        error = failing(open_endpoint(server.url, timeout=0.5, retries=3))
    assert "no reply within 0.5 s" in error.message and "timeout" in error.hint
    assert "asked 2 times" in error.message
    told = [record.getMessage() for record in caplog.records if record.name == failures.__name__]
    assert len(told) == 2 and all("no reply within 0.5 s. It is asked again" in text for text in told)


def test_a_long_pause_is_told_and_a_short_one_not(open_endpoint: Open, caplog: pytest.LogCaptureFixture) -> None:
    acts = [Act(status=429), Act(status=429, headers={"Retry-After": "2.1"})]
    with ChatServer(lambda _: "fine", acts) as server:
        open_endpoint(server.url).generate([HELLO], Sampling())
    [told] = [record for record in caplog.records if record.name == failures.__name__]
    assert "It is asked again in 2 s." in told.getMessage()


def test_a_server_that_was_slow_once_is_not_given_up(open_endpoint: Open) -> None:
    with ChatServer(lambda _: "late", [Act(seconds=60)]) as server:
        assert open_endpoint(server.url, timeout=3, retries=1).generate([HELLO], Sampling())[0].text == "late"
    assert len(server.seen) == 2


def test_a_failure_at_once_says_nothing_of_attempts(open_endpoint: Open) -> None:
    with ChatServer(then=Act(status=404)) as server:
        assert "asked" not in failing(open_endpoint(server.url, retries=3)).message


def test_attempts_end_with_the_time_that_is_left(open_endpoint: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "_FIRST_WAIT", 60.0)
    cancel = threading.Event()
    with ChatServer(then=Act(seconds=60)) as server:
        threading.Timer(1.0, cancel.set).start()
        began = time.monotonic()
        with pytest.raises(Interrupted):
            open_endpoint(server.url, timeout=0.3, retries=20).generate([HELLO], Sampling(), cancel)
        assert time.monotonic() - began < 20


def test_a_stream_that_trickles_ends(open_endpoint: Open) -> None:
    with ChatServer(lambda _: "drop " * 500, then=Act(pause=0.05)) as server:
        endpoint, pieces = open_endpoint(server.url, timeout=1.0, retries=0), list[str]()
        began = time.monotonic()
        with pytest.raises(ModelError, match=r"did not end within 1 s"):
            pieces.extend(endpoint.stream(HELLO, Sampling(max_new_tokens=1000)))
        assert time.monotonic() - began < 15


def test_a_stream_that_does_not_end_is_cut_off(open_endpoint: Open) -> None:
    with ChatServer(lambda _: "word " * 20_000) as server:
        endpoint, pieces = open_endpoint(server.url), list[str]()
        stream = endpoint.stream(HELLO, Sampling(max_new_tokens=20))
        while True:
            try:
                pieces.append(next(stream))
            except StopIteration as end:
                reply = end.value
                break
    assert "".join(pieces) == reply.text and 0 < len(reply.text) < 400
    assert any("more tokens than it was allowed" in said for said in endpoint.notices())


@pytest.mark.parametrize("method", ["generate", "choose"])
def test_an_error_carries_what_was_finished_before_it(open_endpoint: Open, method: str) -> None:
    acts = [Act(logprobs=True), Act(logprobs=True), Act(status=404)]
    with ChatServer(lambda text: text, acts) as server:
        endpoint = open_endpoint(server.url, concurrency=1)
        prompts = [(Segment("user", name),) for name in "ABC"]
        with pytest.raises(ModelError) as caught:
            endpoint.generate(prompts, Sampling()) if method == "generate" else endpoint.choose(prompts, ["A", "B"])
        finished = caught.value.finished
        assert sorted(finished) == [0, 1]
        server.then = Act(logprobs=True)
        if method == "generate":
            assert [finished[0].text, finished[1].text] == ["A", "B"]
        else:
            found = endpoint.choose(prompts[:2], ["A", "B"])
            assert found.tolist() == [finished[0].tolist(), finished[1].tolist()]


def test_without_its_null_prompt_no_choice_is_finished(open_endpoint: Open) -> None:
    with ChatServer(lambda text: text, [Act(logprobs=True), Act(status=404)]) as server:
        endpoint = open_endpoint(server.url, concurrency=1)
        with pytest.raises(ModelError) as caught:
            endpoint.choose([HELLO], ["A", "B"], null=HELLO)
    assert caught.value.finished == {}


def test_a_server_that_is_down(open_endpoint: Open) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    error = failing(open_endpoint(f"http://127.0.0.1:{port}/v1", retries=1))
    assert f"No server answers at http://127.0.0.1:{port}/v1" in error.message


def test_a_stream_that_breaks_off_is_no_whole_reply(open_endpoint: Open) -> None:
    with ChatServer(lambda _: "one two three", then=Act(breaks=True)) as server:
        endpoint = open_endpoint(server.url)
        pieces = []
        with pytest.raises(ModelError, match="broke off"):
            pieces.extend(endpoint.stream(HELLO, Sampling()))
    assert len(server.seen) == 1


def test_the_first_failure_of_a_batch_ends_it(open_endpoint: Open) -> None:
    with ChatServer(acts=[Act(status=404)], then=Act(seconds=30)) as server:
        began = time.monotonic()
        with pytest.raises(ModelError):
            open_endpoint(server.url).generate([HELLO] * 8, Sampling())
        assert time.monotonic() - began < 10


def test_the_key_is_sent_and_never_shown(open_endpoint: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_KEY", KEY)
    with ChatServer(lambda _: "in", key=KEY) as server:
        endpoint = open_endpoint(server.url, api_key_env="OWN_KEY")
        assert endpoint.generate([HELLO], Sampling())[0].text == "in"
        for act in (Act(status=400, message=f"bad {KEY}"), Act(status=500, message=KEY), Act(raw=KEY.encode())):
            server.then = act
            with pytest.raises(ModelError) as caught:
                endpoint.generate([HELLO], Sampling())
            assert KEY not in str(caught.value)
        shown = [endpoint.fingerprint, endpoint.name, *endpoint.notices(), repr(endpoint.settings), str(vars(endpoint))]
    assert not any(KEY in text for text in shown)


def test_a_wrong_key_names_the_variable_not_the_key(open_endpoint: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_KEY", KEY)
    with ChatServer(key="another") as server:
        error = failing(open_endpoint(server.url, api_key_env="OWN_KEY"))
    assert "OWN_KEY" in error.hint and KEY not in str(error)


def test_the_key_of_one_service_does_not_reach_another(open_endpoint: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatServer() as server:
        endpoint = open_endpoint(server.url, context_window=None)
        endpoint.generate([HELLO], Sampling())
    assert KEY not in str([seen.headers for seen in server.seen])


class Answered(Exception):
    """An error with a response, as HTTP clients raise it."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__("x")
        self.response = type("Response", (), {"status_code": status, "headers": headers})()


@pytest.mark.parametrize("pause", [-30, 30])
def test_a_pause_may_be_a_date(pause: int) -> None:
    when = datetime.now(UTC) + timedelta(seconds=pause)
    found = retry_after(Answered(429, **{"retry-after": format_datetime(when, usegmt=True)}))
    assert found is not None and found == pytest.approx(max(0, pause), abs=3)
    assert retry_after(Answered(429, **{"retry-after": "soon"})) is None
    assert retry_after(ValueError()) is None


def test_only_what_may_pass_is_passing() -> None:
    assert [is_passing(Answered(status)) for status in (400, 401, 403, 404, 422, 429, 500, 503)] == [False] * 5 + [
        True
    ] * 3
    assert is_passing(ConnectionRefusedError()) and is_passing(ConnectionResetError())
    assert is_passing(TimeoutError()) and not is_passing(ValueError())
    ours = ModelError("said before")
    assert explain(ours, Server("m", "http://h")) is ours
    long = explain(ValueError("x" * 5000 + "\n\ny"), Server("m", "http://h"))
    assert len(long.message) < 400 and "\n" not in long.message
