"""Servers whose replies are wrong: endless, cut off, not text, miscounted, or come only after a storm."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.memory.library import Library
from rereader.models import failures
from rereader.models.base import Prompt, Sampling, Segment
from rereader.models.endpoint import ChatEndpoint
from rereader.models.hashing import HashingEmbedder
from rereader.models.replies import is_plausible, shortened, sound
from rereader.models.roles import Models
from rereader.models.tokens import estimate_counter
from rereader.runs.session import Session
from rereader.schema import Answer, Budget
from rereader.schema.endpoint import EndpointSettings
from rereader.schema.errors import ModelError
from rereader.testing.chat_server import Act, ChatServer
from rereader.testing.sessions import quoting_reply
from rereader.testing.texts import essay, plant

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
HELLO: Prompt = (Segment("user", "hello"),)
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
TEXT = plant(essay(7, 300), ["The strongbox of the Ulpelhala office opens with 5265."])
GRAPHS: dict[str, dict[str, Any]] = {
    "compressed-memory": {"gist": "model", "reasoner": "model"},
    "memory-agent": {"block_tokens": 1024},
    "gist-lookup": {"pagination": "generate"},
    "recursive": {},
}
STORM = (
    *(Act(status=status, message="storm") for status in (429, 500, 502, 503)),
    Act(raw=b'{"choices": [', headers={"Content-Length": "4000"}),
)
Ask = Callable[..., Answer]


def endpoint_of(server: ChatServer, **changes: Any) -> ChatEndpoint:
    values = {"model": "openai:fake", "base_url": server.url, "context_window": 8192, "retries": 8, **changes}
    return ChatEndpoint.connect(EndpointSettings.model_validate(values))


@pytest.fixture
def ask(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Asks about a short text through a graph, all calls to one server."""
    monkeypatch.setattr(failures, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(failures, "_LONGEST_WAIT", 0.01)
    opened: list[Session] = []

    def put(server: ChatServer, graph: str, budget: Budget = Budget(), **changes: Any) -> Answer:  # noqa: B008
        model = endpoint_of(server, **changes)
        models = Models(reader=model, gister=model, embedder=HashingEmbedder())
        session = Session(Library(tmp_path / str(len(opened))), models, estimate_counter())
        opened.append(session)
        document = session.library.documents.add(TEXT, title="t", source="t", loader="text/1")
        return session.ask(QUESTION, [document.id], graph=graph, settings=GRAPHS[graph], budget=budget)

    yield put
    for session in opened:
        session.close()


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_storm_changes_nothing_but_the_time(ask: Ask, graph: str) -> None:
    rng = random.Random(graph)
    with ChatServer(quoting_reply) as calm:
        expected = ask(calm, graph)
    acts = [rng.choice(STORM) if rng.random() < 0.4 else Act() for _ in range(200)]
    with ChatServer(quoting_reply, acts) as stormy:
        found = ask(stormy, graph)
    assert len(stormy.seen) > len(calm.seen)
    assert (found.answer, found.usage.calls, found.usage.total_tokens) == (
        expected.answer,
        expected.usage.calls,
        expected.usage.total_tokens,
    )


@pytest.mark.parametrize("reply", ["", " \n ", "\x00\x00", "half \ud800 of it", "<|im_end|>" * 9, "\u202e" * 40])
@pytest.mark.parametrize("graph", GRAPHS)
def test_no_reply_breaks_a_run(ask: Ask, graph: str, reply: str) -> None:
    with ChatServer(lambda _: reply) as server:
        answer = ask(server, graph)
    assert answer.status in ("answered", "declined")
    answer.model_dump_json().encode()
    assert "\x00" not in answer.answer


@pytest.mark.parametrize("graph", GRAPHS)
def test_an_endless_reply_is_cut_off_and_paid_for(ask: Ask, graph: str) -> None:
    with ChatServer(lambda _: "word " * 30_000) as server:
        answer = ask(server, graph, Budget(tokens=100_000))
    assert answer.status == "budget_spent"
    assert len(answer.answer) < 20_000
    assert any("more tokens than it was allowed" in said for said in answer.warnings)


def test_a_run_that_fails_on_its_way_says_how_to_go_on(ask: Ask) -> None:
    with ChatServer(quoting_reply, [Act()] * 2, then=Act(status=500, message="cold")) as server:
        with pytest.raises(ModelError, match="cold") as caught:
            ask(server, "memory-agent", retries=0)
        assert "rereader runs resume" in caught.value.hint and "rereader show" in caught.value.hint
        with pytest.raises(ModelError) as caught:
            ask(server, "memory-agent", retries=0)
        assert "resume" not in caught.value.hint


def counting(read: int, written: int) -> bytes:
    usage = f'{{"prompt_tokens": {read}, "completion_tokens": {written}, "total_tokens": {read + written}}}'
    choice = '{"index": 0, "message": {"role": "assistant", "content": "one two three"}, "finish_reason": "stop"}'
    head = '"id": "1", "object": "chat.completion", "created": 1, "model": "fake"'
    return f'{{{head}, "choices": [{choice}], "usage": {usage}}}'.encode()


@pytest.mark.parametrize(("read", "written"), [(10**9, 3), (12, 10**9), (12, -7), (-1, 3), (0, 0), (12, 0)])
def test_a_count_that_cannot_be_is_not_believed(read: int, written: int) -> None:
    with ChatServer(then=Act(raw=counting(read, written))) as server:
        model = endpoint_of(server)
        [reply] = model.generate([HELLO], Sampling(max_new_tokens=20))
        model.close()
    assert reply.text == "one two three"
    assert 0 < reply.prompt_tokens < 100 and 0 < reply.completion_tokens < 20
    assert any("count tokens" in said or "miscounts" in said for said in model.notices())


def test_a_count_that_can_be_is_believed() -> None:
    with ChatServer(then=Act(raw=counting(31, 5))) as server:
        model = endpoint_of(server)
        [reply] = model.generate([HELLO], Sampling(max_new_tokens=20))
        model.close()
    assert (reply.prompt_tokens, reply.completion_tokens) == (31, 5)
    assert is_plausible((900, 2_000), (600, 20), 2_000)  # a system turn of the server's own, and hidden thought


@given(st.text(st.characters(exclude_categories=())))
def test_every_text_is_made_sound(text: str) -> None:
    made = sound(text)
    made.encode()
    assert "\x00" not in made
    if not any("\ud800" <= character <= "\udfff" or character == "\x00" for character in text):
        assert made == text


@given(st.text(max_size=300), st.integers(0, 60))
def test_a_shortened_text_is_a_beginning_that_fits(text: str, tokens: int) -> None:
    def count(texts: Any) -> list[int]:
        return [len(one) // 3 + bool(one) for one in texts]

    made = shortened(text, tokens, count)
    assert text.startswith(made)
    assert count([made])[0] <= tokens
    if count([text])[0] <= tokens:
        assert made == text
