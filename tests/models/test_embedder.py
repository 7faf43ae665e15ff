from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rereader.models.embedder import SentenceEmbedder, _block_borders
from rereader.schema.errors import InputError, Interrupted, ModelError

WINDOW = 32
WORDS = ["the", "keeper", "of", "light", "##house", "##s", "ship", "wreck", "1871", ".", ",", "a", "b", "##b", "c", "-"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BERT sentence-transformer whose tokenizer, like real ones, cuts and pads by default."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    base = tmp_path_factory.mktemp("bert")
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(base)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(base)
    transformer = Transformer(str(base), max_seq_length=WINDOW)
    path = tmp_path_factory.mktemp("sentence") / "model"
    model = SentenceTransformer(modules=[transformer, Pooling(24)], device="cpu")
    model.save(str(path), create_model_card=False)
    return path


@pytest.fixture(scope="module")
def embedder(folder: Path) -> SentenceEmbedder:
    return SentenceEmbedder.load(folder, name="tiny-bert", device="cpu")


@pytest.fixture(scope="module")
def reference(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def sentences(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    plain = [word.removeprefix("##") for word in WORDS]
    return [" ".join(rng.choices(plain, k=rng.randint(0, 20))) for _ in range(count)]


def test_vectors_equal_the_library_s_own(embedder: SentenceEmbedder, reference: Any) -> None:
    texts = sentences(300, random.randrange(10**6))
    ours = embedder.embed(texts)
    theirs = reference.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    assert ours.dtype == np.float32 and ours.shape == (300, embedder.dimension) == (300, 24)
    assert np.allclose(ours, theirs, atol=1e-5)
    assert np.allclose(np.linalg.norm(ours, axis=1), 1.0, atol=1e-5)
    assert embedder.embed([]).shape == (0, 24)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="the keprlightouswck 1871.,-\nb\té漢", max_size=600))
def test_windows_partition_and_fit(embedder: SentenceEmbedder, text: str) -> None:
    pieces = [text[start:end] for start, end in embedder.windows([text])[0]]
    assert "".join(pieces) == text
    assert all(pieces) and all(count <= WINDOW - 2 for count in embedder.count_tokens(pieces))
    assert len(embedder.embed(pieces)) == len(pieces)


def test_a_word_longer_than_the_window_is_cut_and_fits(embedder: SentenceEmbedder) -> None:
    text = "ab" + "b" * 70 + " ship"
    pieces = [text[start:end] for start, end in embedder.windows([text])[0]]
    assert "".join(pieces) == text and len(pieces) >= 3
    assert max(embedder.count_tokens(pieces)) <= WINDOW - 2


def test_windows_end_with_sentences(embedder: SentenceEmbedder) -> None:
    text = "the keeper of the lighthouse, a ship. " * 12
    ends = [text[:end].rstrip()[-1] for _, end in embedder.windows([text])[0]]
    assert set(ends) == {"."}


def test_the_end_of_a_long_text_is_seen(embedder: SentenceEmbedder) -> None:
    text = "the keeper of lights. " * 40 + "ship wreck 1871."
    pieces = [text[start:end] for start, end in embedder.windows([text])[0]]
    scores = embedder.embed(pieces) @ embedder.embed(["ship wreck 1871."])[0]
    assert "ship wreck 1871." in pieces[int(scores.argmax())]


@pytest.mark.parametrize("unit", ["the keeper of the lighthouse. a ship wreck, ", "a", "the\n"])
def test_long_texts_are_tokenised_in_bounded_blocks(embedder: SentenceEmbedder, unit: str) -> None:
    text = unit * (260_000 // len(unit))
    blocks = [text[start:end] for start, end in _block_borders(text)]
    assert "".join(blocks) == text and 6 <= len(blocks) <= 7
    assert max(map(len, blocks)) <= 50_000
    pieces = embedder.windows([text])[0]  # and no warning about the length
    assert [start for start, _ in pieces] == [0, *(end for _, end in pieces[:-1])]
    assert pieces[-1][1] == len(text)


def test_too_long_is_refused_and_cancel_interrupts(embedder: SentenceEmbedder) -> None:
    with pytest.raises(InputError, match="33 tokens is longer than the 32"):
        embedder.embed(["a", "ship " * (WINDOW - 1)])
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        embedder.embed(["ship"], stop)


def test_when_memory_runs_out_smaller_batches_give_the_same(
    embedder: SentenceEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = sentences(9, 3)
    vectors, forward, most = embedder.embed(texts), embedder._forward, 2

    def limited(ids: Any) -> Any:
        if len(ids) > most:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] not enough memory: you tried to allocate 9 bytes")
        return forward(ids)

    monkeypatch.setattr(embedder, "_forward", limited)
    np.testing.assert_allclose(embedder.embed(texts), vectors, atol=1e-6)
    most = 0
    with pytest.raises(ModelError, match="out of memory"):
        embedder.embed(texts)


def test_vectors_that_are_no_numbers_are_refused(embedder: SentenceEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder, "_forward", lambda ids: np.full((len(ids), embedder.dimension), np.nan, np.float32))
    with pytest.raises(ModelError, match="not numbers"):
        embedder.embed(["ship"])


def test_threads_get_what_one_caller_gets(embedder: SentenceEmbedder) -> None:
    from concurrent.futures import ThreadPoolExecutor

    texts = [sentences(20, seed) for seed in range(8)]
    serial = [embedder.embed(batch) for batch in texts]
    with ThreadPoolExecutor(8) as pool:
        for one, other in zip(serial, pool.map(embedder.embed, texts), strict=True):
            assert np.allclose(one, other, atol=1e-6)


def test_fingerprint_follows_the_weights(folder: Path, embedder: SentenceEmbedder) -> None:
    again = SentenceEmbedder.load(folder, name="tiny-bert", device="cpu")
    other = SentenceEmbedder.load(folder, name="tiny-bert", device="cpu", weights_sha256="0" * 64)
    assert again.fingerprint == embedder.fingerprint != other.fingerprint


def test_a_folder_without_a_model_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text("[{")
    with pytest.raises(ModelError) as caught:
        SentenceEmbedder.load(tmp_path, name="x", device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.models
def test_the_pulled_embedder_equals_the_library(pulled_model: Any) -> None:
    from sentence_transformers import SentenceTransformer

    path = pulled_model("minilm")
    texts = ["The keeper lit the lamp.", "A ship was wrecked in 1871.", "Flour, butter and two eggs."]
    ours = SentenceEmbedder.load(path, name="minilm", device="cpu").embed(texts)
    theirs = SentenceTransformer(str(path), device="cpu", local_files_only=True).encode(
        texts, normalize_embeddings=True, show_progress_bar=False
    )
    assert np.allclose(ours, theirs, atol=1e-5)
