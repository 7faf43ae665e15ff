"""Calls that compress: what goes through the model is reserved first and charged afterwards."""

import threading

import pytest
from local_models import wrap

from rereader.agents.calls import Caller, CallLog
from rereader.memory.calls import CallCache
from rereader.memory.database import Database
from rereader.models.kvmemory import Compression
from rereader.prompts.loader import Piece
from rereader.prompts.openings import compressing
from rereader.schema import Budget, BudgetMeter, BudgetSpent, InputError, Usage

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
