"""Model calls of a step: reserved first, charged afterwards, kept when their batch fails; waiting is no work."""

import threading
import time

import pytest
from local_models import wrap

from rereader.agents.call_log import CallLog
from rereader.agents.calls import Caller, Request
from rereader.memory.calls import CallCache
from rereader.memory.database import Database
from rereader.models.base import Generation, Sampling
from rereader.models.kvmemory import Compression
from rereader.models.scripted import ScriptedModel
from rereader.prompts.loader import Piece, load
from rereader.prompts.openings import compressing
from rereader.schema import Budget, BudgetMeter, BudgetSpent, InputError, Interrupted, ModelError, Usage

TEXTS = [Piece("The river and the tower in winter. " * count) for count in (2, 5)]


@pytest.fixture(scope="module")
def model():
    made = wrap("llama")
    yield made
    made.close()


@pytest.fixture
def cache(tmp_path):
    database = Database(tmp_path / "calls.sqlite")
    yield CallCache(database)
    database.close()


def caller(model, cache, tokens=None):
    log = CallLog(BudgetMeter(Budget(tokens=tokens)), Usage(), (), threading.Event())
    return Caller("reader", model, cache, log), log


def read_by(model, how):
    """Tokens of the passes that compressing the texts takes."""
    seen = []
    network = model.engine.prefill_model.model.layers[0]
    hook = network.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[0] * given[0].shape[1]))
    for text in TEXTS:
        model.engine.prefixes.clear()
        model.compress_kv([compressing(text)], how)
    hook.remove()
    return sum(seen)


@pytest.mark.parametrize("name", ["recent", "reconstruction"])
def test_what_is_read_twice_counts_twice(model, cache, name):
    how = Compression(name)
    read = read_by(model, how)
    one, log = caller(model, cache, tokens=read)
    one.compress(TEXTS, how)
    assert log.meter.tokens == log.usage.prompt_tokens == sum(call.prompt_tokens for call in log.calls) == read
    assert log.done[0].amount == read
    short, log = caller(model, cache, tokens=read - 1)
    with pytest.raises(BudgetSpent):
        short.compress(TEXTS, how)
    assert log.meter.tokens == 0 and not log.calls


def test_a_text_that_does_not_fit_twice_costs_nothing(cache):
    small = wrap("llama", context_window=300)
    one, log = caller(small, cache)
    long = Piece("the river " * 20)
    one.compress([long], Compression("recent"))
    spent = log.meter.tokens
    with pytest.raises(InputError, match="read twice"):
        one.compress([long], Compression("reconstruction"))
    assert log.meter.tokens == spent
    small.close()


class Failing(ScriptedModel):
    """Fails in the middle of a batch, like a server that goes away."""

    def __init__(self, error):
        super().__init__(lambda prompt: "said", name="failing")
        self.error = error
        self.asked = []

    def generate(self, prompts, sampling, cancel=None):
        self.asked.append(len(prompts))
        if self.error is not None:
            made = {place: Generation(said, (), "stop", 3, (), 1) for place, said in ((0, "first"), (2, "third"))}
            self.error.finished = {place: reply for place, reply in made.items() if place < len(prompts)}
            raise self.error
        return super().generate(prompts, sampling, cancel)


def recalls():
    return [Request(load("recall"), {"memory": f"bees {number}"}) for number in range(4)]


@pytest.mark.parametrize("error", [ModelError("gone"), Interrupted("stopped")], ids=["failed", "stopped"])
def test_what_a_failed_batch_had_finished_is_not_asked_again(cache, error):
    model = Failing(error)
    one, log = caller(model, cache, tokens=10_000)
    log.cancel.set()
    with pytest.raises(type(error)):
        one.generate(recalls(), Sampling())
    assert [(call.reply, call.cached) for call in log.calls] == [("first", False), ("third", False)]
    assert log.meter.tokens == log.usage.total_tokens == 8 and log.usage.calls == 2
    model.error = None
    one, log = caller(model, cache, tokens=10_000)
    replies = [reply.text for reply in one.generate(recalls(), Sampling())]
    assert replies == ["first", "said", "third", "said"] and model.asked == [4, 2]
    assert (log.usage.calls, log.usage.cached_calls) == (4, 2)


def test_what_an_earlier_attempt_paid_for_is_charged_as_made_once(cache):
    model = Failing(ModelError("gone"))
    one, log = caller(model, cache)
    with pytest.raises(ModelError):
        one.generate(recalls(), Sampling())
    made = {(call.method, call.prompt_sha256) for call in log.calls}
    one, log = caller(model, cache, tokens=10_000)
    log.paid |= made
    with pytest.raises(ModelError):  # what was finished now and what was before
        one.generate(recalls(), Sampling())
    assert [(call.reply, call.cached) for call in log.calls] == [(said, False) for said in ("first", "first", "third")]
    assert not log.paid and log.meter.tokens == log.usage.total_tokens == 12
    model.error = None
    one, log = caller(model, cache)
    log.paid |= made
    one.generate(recalls(), Sampling())
    one.generate(recalls(), Sampling())
    assert (log.usage.calls, log.usage.cached_calls) == (8, 5)


class Waiting(ScriptedModel):
    """Waits for the machine before it replies."""

    waited = 0.0

    def generate(self, prompts, sampling, cancel=None):
        time.sleep(0.5)
        self.waited += 0.5
        return super().generate(prompts, sampling, cancel)


def test_time_that_a_model_waits_is_no_time_that_it_works(cache):
    one, log = caller(Waiting(lambda prompt: "said"), cache)
    started = time.monotonic()
    one.generate(recalls(), Sampling())
    assert log.done[0].seconds == pytest.approx(time.monotonic() - started - 0.5, abs=0.2)
