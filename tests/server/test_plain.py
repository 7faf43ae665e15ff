"""Values of all kinds become JSON that says the same."""

import json
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.schema import Span
from rereader.server.plain import dumped, plain

TEXTS = st.text(st.characters(codec=None, exclude_categories=()))  # lone surrogates too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda held: st.lists(held) | st.dictionaries(TEXTS, held),
)


@given(JSON)
def test_what_json_knows_comes_back_as_it_was(value):
    text = dumped(value)
    assert text.isascii() and "\n" not in text
    back = json.loads(text)
    assert repr(back) == repr(value) or _joined(back) == _joined(value)


def _joined(value):
    """A high surrogate right before a low one is one character in JSON; no document holds such a pair."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") if _paired(value) else value
    if isinstance(value, list):
        return [_joined(held) for held in value]
    if isinstance(value, dict):
        return {_joined(key): _joined(held) for key, held in value.items()}
    return value


def _paired(text):
    try:
        text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return False
    return True


class Colour(Enum):
    RED = "red"


class Pair(NamedTuple):
    one: int
    two: float


@dataclass(frozen=True)
class Held:
    span: Span
    pair: Pair
    colours: tuple[Colour, ...]
    names: frozenset[str]


def test_our_own_values():
    held = Held(Span(document_id="d", start=1, end=2), Pair(1, float("nan")), (Colour.RED,), frozenset({"x"}))
    wanted = {"span": {"document_id": "d", "start": 1, "end": 2}, "pair": [1, None], "colours": ["red"], "names": ["x"]}
    assert plain(held) == wanted
    assert json.loads(dumped({1: float("inf")})) == {"1": None}


def test_what_has_no_form_is_refused():
    with pytest.raises(TypeError, match="object has no form"):
        plain([object()])
