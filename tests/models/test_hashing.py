from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.models.hashing import HashingEmbedder
from rereader.schema.errors import InputError, Interrupted


@settings(deadline=None, max_examples=80)
@given(st.lists(st.text(max_size=300), max_size=4), st.integers(1, 64))
def test_windows_cover_every_character_and_fit(texts: list[str], window: int) -> None:
    embedder = HashingEmbedder(32, window)
    for text, pieces in zip(texts, embedder.windows(texts), strict=True):
        assert "".join(text[start:end] for start, end in pieces) == text
        assert all(end > start for start, end in pieces)
        vectors = embedder.embed([text[start:end] for start, end in pieces])
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_vectors_are_the_same_in_another_process() -> None:
    code = (
        "from rereader.models.hashing import HashingEmbedder as H;"
        "import sys; sys.stdout.write(H().embed(['The lighthouse keeper'])[0].tobytes().hex())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == HashingEmbedder().embed(["The lighthouse keeper"])[0].tobytes().hex()


def test_shared_words_bring_texts_near() -> None:
    embedder = HashingEmbedder()
    texts = [
        "When was the lighthouse at Carrow Point built?",
        "The Carrow Point lighthouse, building begun in 1871, stands on a cliff.",
        "Our recipe needs flour, butter and two eggs.",
    ]
    question, near, far = embedder.embed(texts)
    assert question @ near > question @ far + 0.2
    assert embedder.embed(["CARROW"])[0] @ embedder.embed(["carrow"])[0] == pytest.approx(1.0, abs=1e-5)


def test_word_forms_are_nearer_than_other_words() -> None:
    one, form, other = HashingEmbedder().embed(["navigator", "navigation", "elephants"])
    assert one @ form > 0.2 > one @ other


def test_long_text_is_refused_and_cancel_interrupts() -> None:
    embedder = HashingEmbedder(window=3)
    assert embedder.count_tokens(["one two, three"]) == [3]
    with pytest.raises(InputError, match="4 words"):
        embedder.embed(["one two three four"])
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        embedder.embed(["one"], stop)
    with pytest.raises(InputError):
        HashingEmbedder(dimension=0)


def test_shapes_and_fingerprint() -> None:
    assert HashingEmbedder().embed([]).shape == (0, 512)
    assert HashingEmbedder(64).embed(["a", "b"]).dtype == np.float32
    assert HashingEmbedder(64).fingerprint != HashingEmbedder(32).fingerprint


def test_cuts_at_the_last_sentence_of_the_last_quarter() -> None:
    text = "One two three. Four five six. Seven eight nine ten eleven twelve."
    pieces = HashingEmbedder(window=8).windows([text])[0]
    assert text[slice(*pieces[0])] == "One two three. Four five six. "
