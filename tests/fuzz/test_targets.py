"""Every target of the fuzzer on what was kept, and on what hypothesis makes of it; see ``scripts/fuzz``."""

from pathlib import Path

import pytest
from fuzz_targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

CORPUS = Path(__file__).resolve().parents[1] / "data" / "fuzz"
KEPT = {name: [path.read_bytes() for path in sorted((CORPUS / name).iterdir())] for name in TARGETS}
SPLICES = ("\0", "\ufeff", "\u202e", "e\u0301", "\ud800", "9" * 30, "[", "```", "</recap>", "\r\n", "&#0;", "1.", "…")


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_kept(name):
    assert KEPT[name]
    for data in KEPT[name]:
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60)
@given(data=st.data())
def test_what_is_made_of_it(name, data):
    splice = st.sampled_from(SPLICES).map(lambda text: text.encode("utf-8", "surrogatepass"))
    raw = data.draw(st.sampled_from(KEPT[name]) | st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(raw)))
        raw = raw[:at] + data.draw(splice | st.binary(max_size=6)) + raw[at + data.draw(st.integers(0, 8)) :]
    TARGETS[name](raw)
