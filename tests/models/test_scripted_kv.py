"""Blocks of a scripted model: a deterministic excerpt that prompts show in their place."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.models.base import Sampling, Segment
from rereader.models.kvmemory import Compression, UnusableBlock
from rereader.models.scripted import ScriptedModel, render
from rereader.models.scripted_attention import HEADS
from rereader.models.scripted_kv import excerpt
from rereader.models.scripted_words import TOKEN
from rereader.schema import InputError, ModelError

OPENING = Segment("system", "You read a text.")
TEXT = "The mill stood by the river. The mill was sold in 1822. The river froze."


def model(**changes):
    return ScriptedModel(lambda prompt: "reply", **{"name": "blocks", "attends": True, **changes})


def block(made, text=TEXT, ratio=4.0):
    return made.compress_kv([(OPENING, Segment("user", text, trusted=False))], Compression(ratio=ratio))[0]


@given(st.text(alphabet="ab .,é1\n", min_size=1).filter(TOKEN.search), st.floats(1, 20))
def test_an_excerpt_is_words_of_the_text_in_their_order_and_so_many(text, ratio):
    kept, places = excerpt(text, ratio)
    words = iter(TOKEN.findall(text))
    assert all(word in words for word in TOKEN.findall(kept))
    assert len(TOKEN.findall(kept)) == places == max(1, int(np.ceil(len(TOKEN.findall(text)) / ratio)))


def test_rare_words_are_kept_and_at_ratio_1_everything():
    assert {"1822", "sold", "stood", "froze"} <= set(excerpt(TEXT, 3)[0].split())
    assert excerpt(TEXT, 1)[0] == TEXT


def test_a_prompt_shows_what_its_blocks_kept_side_by_side():
    made = model()
    first, second = block(made), block(made, "Bees live in hives.")
    prompt = (OPENING, Segment("user", "", memory=(second, first)), Segment("user", "Who?", trusted=False))
    shown = render(prompt)
    assert shown.index(second.text) < shown.index(first.text) < shown.index("Who?")
    made.generate([prompt], Sampling())
    assert made.calls[-1].prompt == shown
    counted = made.prompt_tokens([prompt, (OPENING, Segment("user", "Who?"))])
    assert counted[0] >= counted[1] + first.places + second.places
    attention = made.attention(
        (*prompt[:1], Segment("user", "", memory=(first,), cacheable=True), prompt[2]), HEADS[:1]
    )
    assert attention.ranges[1][1] - attention.ranges[1][0] == first.places


def test_a_block_comes_back_from_its_file_and_belongs_to_its_model(tmp_path):
    made, path = model(), tmp_path / "deep" / "block"
    one = block(made)
    one.save(path, "int8")
    assert made.load_kv(path) == one
    assert path.stat().st_size > 0 and made.kv_bytes(one.length, Compression(), "int8") > 0
    with pytest.raises(UnusableBlock, match="another model"):
        model(name="other").load_kv(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    whole = path.read_bytes()
    others = [whole.replace(*change) for change in ((b"1822", b"1823"), (b"int8", b"bits"), (b": 18,", b": 19,"))]
    for changed in (*others, whole[:-3], b"[]", b"{}"):
        assert changed != whole
        path.write_bytes(changed)
        with pytest.raises(UnusableBlock, match="damaged"):
            made.load_kv(path)
    with pytest.raises(FileNotFoundError):
        made.load_kv(tmp_path / "none")


def test_what_decides_a_block_is_in_its_digest():
    made = model()
    digests = [block(made).digest, block(made, TEXT + " More.").digest, block(made, ratio=2).digest]
    digests.append(block(model(name="other")).digest)
    digests += [made.compress_kv([(Segment("system", "Other."), Segment("user", TEXT))], Compression())[0].digest]
    assert len(set(digests)) == len(digests)
    assert block(model()).digest == digests[0]


def test_bad_settings_and_closed_models_are_refused():
    for text, ratio in ((" ", 4.0), (TEXT, 0.5), (TEXT, float("nan"))):
        with pytest.raises(InputError):
            block(model(), text, ratio)
    closed = model(attends=False)
    with pytest.raises(ModelError, match="does not show"):
        block(closed)
    with pytest.raises(ModelError, match="does not show"):
        closed.kv_bytes(10, Compression(), "int8")
    with pytest.raises(ModelError, match="does not show"):
        closed.load_kv(Path("block"))


def test_a_block_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    made, path = model(), tmp_path / "block"
    block(made).save(path, "exact")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        block(made, ratio=2).save(path, "exact")
    assert made.load_kv(path) == block(made) and len(list(tmp_path.iterdir())) == 1


def test_everything_is_kept_whatever_the_ratio():
    made = model()
    prompt = [(OPENING, Segment("user", TEXT))]
    [one], [other] = (made.compress_kv(prompt, Compression("none", ratio)) for ratio in (1.0, 8.0))
    assert one == other and one.text == TEXT
