from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.models.base import Sampling, Segment
from rereader.models.scripted import ScriptedModel, render
from rereader.schema.errors import InputError, Interrupted, ModelError


def ask(text: str) -> tuple[Segment, ...]:
    return (Segment("system", "Be brief."), Segment("user", text, trusted=False))


def test_callable_sees_the_rendered_prompt_and_calls_are_recorded() -> None:
    model = ScriptedModel(lambda prompt: prompt.upper())
    reply = model.generate([ask("hello")], Sampling(seed=3))[0]
    assert reply.text == "<SYSTEM>\nBE BRIEF.\n<USER>\nHELLO\n"
    assert render(ask("hello")) == "<system>\nBe brief.\n<user>\nhello\n"
    assert [(c.method, c.sampling) for c in model.calls] == [("generate", Sampling(seed=3))]
    assert model.calls[0].prompt == render(ask("hello"))


def test_mapping_takes_the_first_match_and_names_the_prompt_that_has_none() -> None:
    model = ScriptedModel({"ba.\ny": "first", "bar": "second", "^<system>.*dog": "third"})
    replies = model.generate([ask("bar\ny"), ask("dog")], Sampling())
    assert [r.text for r in replies] == ["first", "third"]
    with pytest.raises(ModelError, match="a whole zebra") as caught:
        model.generate([ask("a whole zebra")], Sampling())
    assert caught.value.hint


def test_sequence_is_used_up_in_order() -> None:
    model = ScriptedModel(["one", "two"])
    assert [r.text for r in model.generate([ask("x"), ask("x")], Sampling())] == ["one", "two"]
    with pytest.raises(ModelError, match="2 replies are used up"):
        model.generate([ask("x")], Sampling())


def test_sequence_is_shared_fairly_by_threads() -> None:
    model = ScriptedModel([str(i) for i in range(200)])
    with ThreadPoolExecutor(8) as pool:
        texts = pool.map(lambda _: model.generate([ask("x")], Sampling())[0].text, range(200))
    assert sorted(map(int, texts)) == list(range(200))


@pytest.mark.parametrize("bad", ["one string", {"(": "x"}])
def test_bad_scripts_are_refused(bad: object) -> None:
    with pytest.raises(InputError):
        ScriptedModel(bad)  # type: ignore[arg-type]


def test_stop_comes_before_length() -> None:
    model = ScriptedModel(lambda _: "alpha beta END gamma delta")
    cut = model.generate([ask("x")], Sampling(stop=("gamma", "END")))[0]
    assert (cut.text, cut.finish_reason) == ("alpha beta ", "stop")
    short = model.generate([ask("x")], Sampling(max_new_tokens=1, stop=("END",)))[0]
    assert (short.text, short.finish_reason, short.completion_tokens) == ("alpha", "length", 1)
    nothing = model.generate([ask("x")], Sampling(max_new_tokens=0))[0]
    assert (nothing.text, nothing.finish_reason) == ("", "length")


@settings(deadline=None, max_examples=60)
@given(st.text(), st.integers(0, 12), st.text(max_size=3))
def test_stream_joins_to_generate(reply: str, limit: int, stop: str) -> None:
    model = ScriptedModel(lambda _: reply)
    sampling = Sampling(max_new_tokens=limit, stop=(stop,))
    whole = model.generate([ask("x")], sampling)[0]
    assert "".join(model.stream(ask("x"), sampling)) == whole.text
    assert whole.completion_tokens == model.count_tokens([whole.text])[0] <= limit
    assert len(whole.logprobs) == whole.completion_tokens
    assert reply.startswith(whole.text)
    assert not stop or stop not in whole.text


def test_window_is_checked_before_any_reply_is_used() -> None:
    model = ScriptedModel(["kept"], context_window=20)
    with pytest.raises(InputError, match="do not fit"):
        model.generate([ask("fine"), ask("word " * 30)], Sampling(max_new_tokens=2))
    assert model.generate([ask("fine")], Sampling(max_new_tokens=2))[0].text == "kept"


def test_cancel_interrupts() -> None:
    model = ScriptedModel(lambda _: "a b c")
    stop = threading.Event()
    pieces = model.stream(ask("x"), Sampling(), stop)
    assert next(pieces) == "a"
    stop.set()
    with pytest.raises(Interrupted):
        next(pieces)
    for call in (
        lambda: model.generate([ask("x")], Sampling(), stop),
        lambda: model.log_likelihood([ask("x")], ["y"], stop),
        lambda: model.choose([ask("x")], ["y"], None, stop),
    ):
        with pytest.raises(Interrupted):
            call()


def test_overlap_is_likelier_and_choose_is_normalised() -> None:
    model = ScriptedModel([])
    scores = model.log_likelihood([ask("the red fox")] * 2, ["red fox", "blue dog"])
    assert scores.dtype == np.float32
    assert scores[0] > scores[1]
    table = model.choose([ask("the red fox"), ask("a blue dog")], ["red", "blue", "green"])
    assert table.shape == (2, 3) and table.dtype == np.float32
    assert np.allclose(np.exp(table).sum(axis=1), 1.0, atol=1e-5)
    assert table[0].argmax() == 0 and table[1].argmax() == 1


def test_null_removes_the_liking_for_a_label() -> None:
    def liking(prompt: str, options: object) -> list[float]:
        return [3.0, 1.0 if "yes" in prompt else 0.0]

    model = ScriptedModel([], choose=liking)
    assert model.choose([ask("yes")], ["A", "B"])[0].argmax() == 0
    calibrated = model.choose([ask("yes")], ["A", "B"], null=ask(""))
    assert calibrated[0].argmax() == 1
    assert calibrated[0, 1] - calibrated[0, 0] == pytest.approx(1.0)


def test_choose_script_must_score_every_option() -> None:
    with pytest.raises(ModelError, match="1 scores for 2 options"):
        ScriptedModel([], choose=lambda *_: [0.0]).choose([ask("x")], ["A", "B"])
    with pytest.raises(InputError):
        ScriptedModel([]).log_likelihood([ask("x")], [])


def test_fingerprint_follows_name_and_script() -> None:
    prints = [
        ScriptedModel(["a"]).fingerprint,
        ScriptedModel(["b"]).fingerprint,
        ScriptedModel({"a": "b"}).fingerprint,
        ScriptedModel({"a": "c"}).fingerprint,
        ScriptedModel(["a"], name="other").fingerprint,
    ]
    assert len(set(prints)) == len(prints)
    assert prints[0] == ScriptedModel(("a",)).fingerprint


def test_virtual_time_is_counted_and_not_slept() -> None:
    model = ScriptedModel(lambda _: "a b c d", tokens_per_second_in=1.0, tokens_per_second_out=0.5)
    reply = model.generate([ask("x")], Sampling())[0]
    assert model.virtual_seconds == pytest.approx(reply.prompt_tokens + 4 / 0.5)


def test_tokens_are_words_and_marks() -> None:
    model = ScriptedModel([])
    text = "It's 3.5 km, no?"
    assert model.count_tokens([text, ""]) == [len(re.findall(r"\w+|[^\w\s]", text)), 0] == [10, 0]
