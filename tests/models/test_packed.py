"""The packed 4-bit form, on a small file of that form made here."""

import struct

import numpy as np
import pytest

from rereader.models.packed import BLOCK, dequantise, unpack
from rereader.schema.errors import ModelError

HIDDEN, LAYERS, HEADS, INNER, POSITIONS = 32, 1, 2, 64, 16
PIECES = [
    ("<s>", 0.0),
    ("<pad>", 0.0),
    ("</s>", 0.0),
    ("<unk>", 0.0),
    ("\u2581bee", -2.0),
    ("s", -3.0),
    ("\u2581", -4.0),
]
MATRICES = {"q.w": HIDDEN, "k.w": HIDDEN, "v.w": HIDDEN, "ao.w": HIDDEN, "fi.w": INNER, "fo.w": INNER}


def quantised(weights):
    """4-bit blocks and what they hold exactly."""
    data, held = b"", []
    for block in weights.reshape(-1, BLOCK):
        scale = np.float16(np.abs(block).max() / 7)
        levels = np.clip(np.round(block / np.float32(scale)), -8, 7).astype(int) + 8
        data += scale.tobytes() + bytes(int(levels[i] | levels[i + 16] << 4) for i in range(16))
        held.append((levels - 8) * np.float32(scale))
    return data, np.concatenate(held)


def packed(rng):
    """A file of the form, and its tensors by their names there."""
    tensors = {}
    for name in ("emb.pos", "emb.type", "emb.ln.w", "emb.ln.b"):
        tensors[name] = rng.normal(size=(HIDDEN * {"emb.pos": POSITIONS, "emb.type": 2}.get(name, 1))).astype("<f4")
    matrices = {"emb.word": len(PIECES) * HIDDEN}
    for part, size in MATRICES.items():
        matrices[f"l0.{part}"] = size * HIDDEN
        tensors[f"l0.{part[:-1]}b"] = rng.normal(size=INNER if part == "fi.w" else HIDDEN).astype("<f4")
    for part in ("aln", "oln"):
        tensors |= {f"l0.{part}.{s}": rng.normal(size=HIDDEN).astype("<f4") for s in "wb"}
    stored = {name: (0, value.size, value.tobytes(), value) for name, value in tensors.items()}
    for name, size in matrices.items():
        data, held = quantised(rng.normal(size=size).astype(np.float32))
        stored[name] = (1, size, data, held)
    text = b"".join(piece.encode() for piece, _ in PIECES)
    ends = np.cumsum([0, *(len(piece.encode()) for piece, _ in PIECES)]).astype("<u4")
    head = struct.pack("<4sI7ifi", b"E5S1", 1, HIDDEN, LAYERS, HEADS, INNER, len(PIECES), POSITIONS, 2, 1e-12, BLOCK)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(text)) + ends.tobytes()
    head += np.array([score for _, score in PIECES], "<f4").tobytes() + text + struct.pack("<iI", 0, 0)
    head += struct.pack("<i", len(stored))
    at = len(head) + sum(2 + len(name) + 21 for name in stored)
    directory, body = b"", b""
    for name, (kind, size, data, _) in stored.items():
        directory += (
            struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", kind, size, at + len(body), len(data))
        )
        body += data
    return head + directory + body, {name: held for name, (_, _, _, held) in stored.items()}


@pytest.fixture
def made(tmp_path):
    data, held = packed(np.random.default_rng())
    path = tmp_path / "packed.bin"
    path.write_bytes(data)
    folder = tmp_path / "model"
    folder.mkdir()
    unpack(path, folder)
    return folder, held


def test_halves_of_a_byte_are_weights_sixteen_apart():
    block = np.float16(0.5).tobytes() + bytes([0xF0] * 16)
    assert dequantise(block, 0, BLOCK).tolist() == [-4.0] * 16 + [3.5] * 16


def test_weights_are_those_of_the_file(made):
    from safetensors.numpy import load_file

    folder, held = made
    loaded = load_file(folder / "model.safetensors")
    for name, full, shape in (
        ("emb.word", "embeddings.word_embeddings.weight", (len(PIECES), HIDDEN)),
        ("l0.fi.w", "encoder.layer.0.intermediate.dense.weight", (INNER, HIDDEN)),
        ("l0.fo.w", "encoder.layer.0.output.dense.weight", (HIDDEN, INNER)),
        ("l0.oln.b", "encoder.layer.0.output.LayerNorm.bias", (HIDDEN,)),
    ):
        assert loaded[full].shape == shape
        np.testing.assert_allclose(loaded[full].astype(np.float32).reshape(-1), held[name], rtol=2e-3, atol=1e-6)


def test_the_folder_loads_and_prefixes_change_the_vectors(made, capfd):
    from rereader.models.embedder import SentenceEmbedder

    folder, _ = made
    plain = SentenceEmbedder.load(folder, name="m", device="cpu")
    told = SentenceEmbedder.load(folder, name="m", device="cpu", prefixes={"query": "bees ", "passage": "s "})
    assert "MISSING" not in capfd.readouterr().err
    assert (plain.window, plain.dimension) == (POSITIONS, HIDDEN)
    assert plain.fingerprint != told.fingerprint
    np.testing.assert_allclose(told.embed(["bee"]), plain.embed(["s bee"]), atol=1e-6)
    np.testing.assert_allclose(told.embed(["bee"], kind="query"), plain.embed(["bees bee"]), atol=1e-6)
    np.testing.assert_allclose(plain.embed(["bee"], kind="query"), plain.embed(["bee"]), atol=1e-6)
    text = "bees " * 40
    windows = told.windows([text])[0]
    assert "".join(text[a:b] for a, b in windows) == text
    assert told.embed([text[a:b] for a, b in windows], kind="query").shape == (len(windows), HIDDEN)


@pytest.mark.parametrize("cut", [3, 40, 200, -100])
def test_a_damaged_file_is_refused(tmp_path, cut):
    path = tmp_path / "packed.bin"
    path.write_bytes(packed(np.random.default_rng(1))[0][:cut])
    with pytest.raises(ModelError, match="cannot be read"):
        unpack(path, tmp_path)


@pytest.mark.models
def test_translations_are_nearest_neighbours(pulled_model):
    from rereader.models.embedder import SentenceEmbedder

    english = [
        "The cat sleeps on the sofa.",
        "The king died in winter.",
        "She bought apples.",
        "It will rain tomorrow.",
    ]
    others = {
        "de": [
            "Die Katze schläft auf dem Sofa.",
            "Der König starb im Winter.",
            "Sie kaufte Äpfel.",
            "Morgen regnet es.",
        ],
        "zh": ["猫在沙发上睡觉。", "国王在冬天去世。", "她买了苹果。", "明天会下雨。"],
    }
    prefixes = {"query": "query: ", "passage": "passage: "}
    embedder = SentenceEmbedder.load(pulled_model("multilingual"), name="m", device="cpu", prefixes=prefixes)
    known = embedder.embed(english)
    for texts in others.values():
        assert (embedder.embed(texts, kind="query") @ known.T).argmax(1).tolist() == [0, 1, 2, 3]
