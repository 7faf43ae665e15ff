"""Stop strings, reasons, log-probabilities and windows as servers tell them."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.models.replies import (
    Bound,
    SoundText,
    StopText,
    cut,
    finish_reason,
    label_logprobs,
    logprobs_of,
    sound,
    was_withheld,
)
from rereader.models.serverinfo import window_of


@given(st.text("ab\n#", max_size=30), st.lists(st.text("ab\n#", min_size=1, max_size=3), max_size=3), st.data())
def test_a_reply_in_pieces_ends_where_the_whole_one_does(text: str, stop: list[str], data: st.DataObject) -> None:
    places = [place for one in stop if (place := text.find(one)) >= 0]
    whole = text[: min(places)] if places else text
    edges = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text)), max_size=6))})
    cutter = StopText(stop)
    pieces = [cutter.push(text[a:b]) for a, b in itertools.pairwise(edges)]
    assert "".join([*pieces, cutter.finish()]) == cutter.text
    # Characters of one stop string may reach over the beginning of another, which a stream cannot know in time.
    assert whole.startswith(cutter.text) or cutter.text.startswith(whole)
    assert not any(one in cutter.text for one in stop)
    assert cut(text, stop) == whole


def halves(text: str) -> str:
    """The same text with each character beyond U+FFFF as two halves, as JSON may write it."""
    raw = text.encode("utf-16-le", "surrogatepass")
    return "".join(chr(int.from_bytes(raw[at : at + 2], "little")) for at in range(0, len(raw), 2))


ANY_TEXT = st.text(st.sampled_from("ab\x00é\ud83d\ude00") | st.characters(exclude_categories=()), max_size=30)


@given(ANY_TEXT, st.data())
def test_a_text_in_pieces_is_as_sound_as_the_whole_one(text: str, data: st.DataObject) -> None:
    text = halves(text)
    edges = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text)), max_size=8))})
    joined = SoundText()
    pieces = [joined.push(text[a:b]) for a, b in itertools.pairwise(edges)]
    assert "".join([*pieces, joined.finish()]) == sound(text)
    assert all(piece == sound(piece) for piece in pieces)


@given(st.lists(st.text("ab ", max_size=5), max_size=30), st.integers(0, 8))
def test_a_bound_holds_while_the_whole_text_does(pieces: list[str], most: int) -> None:
    def count(texts: Any) -> list[int]:
        return [-(-len(text) // 4) for text in texts]

    bound, text = Bound(most, count), ""
    for piece in pieces:
        text += piece
        assert bound.holds(piece) == (count([text])[0] <= most) == (not bound.passed)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"finish_reason": "stop"}, "stop"),
        ({"finish_reason": "length"}, "length"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"finish_reason": "MAX_TOKENS"}, "length"),
        ({"done_reason": "stop"}, "stop"),
        ({}, "stop"),
    ],
)
def test_reasons(metadata: dict[str, Any], reason: str) -> None:
    assert finish_reason(metadata) == reason
    assert not was_withheld(metadata)


def test_logprobs_are_taken_whole_or_not_at_all() -> None:
    def content(*values: object) -> dict[str, Any]:
        return {"logprobs": {"content": [{"token": "x", "logprob": value} for value in values]}}

    assert logprobs_of(content(-0.5, 0)) == (-0.5, 0.0)
    for broken in ({}, {"logprobs": None}, {"logprobs": {"content": None}}, content(), content(-1.0, None)):
        assert logprobs_of(broken) == ()
    assert logprobs_of(content(float("-inf"))) == ()


def test_labels_take_every_token_that_reads_like_them() -> None:
    likely = [{"token": "A", "logprob": -1.0}, {"token": " A", "logprob": -1.0}, {"token": "x", "logprob": 0.0}]
    metadata = {"logprobs": {"content": [{"token": "A", "logprob": -1.0, "top_logprobs": likely}]}}
    scores = label_logprobs(metadata, ["A", "B", "x"])
    assert scores == pytest.approx([-1.0 + 0.693147, -1.0, 0.0], abs=1e-5)
    assert label_logprobs({"logprobs": {"content": [{"token": "A", "logprob": -1.0}]}}, ["A"]) is None


def test_windows_as_servers_tell_them() -> None:
    assert window_of([{"id": "a", "max_model_len": 4096}, {"id": "b", "max_model_len": 1}], "a") == 4096
    assert window_of([{"id": "file.gguf", "meta": {"n_ctx": 1024, "n_ctx_train": 8192}}], "any") == 1024
    assert window_of([{"id": "a"}, {"id": "b", "max_model_len": 9}], "c") is None
    assert window_of([], "a") is None
