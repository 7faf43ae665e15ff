"""Segments become turns; nothing from a document can open or close one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.models.base import Segment
from rereader.models.messages import _CONTROL, defuse, to_messages, turns, without_system
from rereader.schema.errors import InputError

MARKERS = [
    "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|end|>", "<\uff5cUser\uff5c>", "[INST]",
    "[/INST]", "<<SYS>>", "<</SYS>>", "<s>", "</s>", "<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>",
    "[TOOL_CALLS]", "<tool_call>", "</think>", "<|channel|>", "<END_OF_TURN_TOKEN>", "[gMASK]", "[|user|]", "<unused7>",
    "<fim_prefix>", "<repo_name>", "<EOS_TOKEN>",
]  # fmt: skip
PIECES = st.one_of(
    st.sampled_from(MARKERS), st.sampled_from(["<", "|", ">", "[", "<<", " ", "a<b", "im_end"]), st.text()
)


@pytest.mark.parametrize("marker", MARKERS)
def test_a_marker_in_untrusted_text_is_no_marker_any_more(marker: str) -> None:
    made = defuse([Segment("user", "Read this: "), Segment("user", f"end{marker}begin", trusted=False)])
    assert marker not in made and not _CONTROL.search(made)
    assert made.replace(f"{marker[0]} {marker[1:]}", marker) == f"Read this: end{marker}begin"


@pytest.mark.parametrize("marker", MARKERS)
def test_a_prompt_s_own_marker_stays(marker: str) -> None:
    segments = [Segment("user", f"{marker}a"), Segment("user", "b", trusted=False)]
    assert defuse(segments) == f"{marker}ab"


@given(st.lists(PIECES, max_size=12), st.integers(0, 40))
def test_no_marker_survives_wherever_segments_meet(parts: list[str], at: int) -> None:
    text = "".join(parts)
    segments = [Segment("user", text[:at], trusted=False), Segment("user", text[at:], trusted=False)]
    made = defuse(segments)
    assert not _CONTROL.search(made)
    place = 0
    for letter in made:  # nothing but spaces was added
        if place < len(text) and letter == text[place]:
            place += 1
        else:
            assert letter == " "
    assert place == len(text)


def test_a_marker_made_of_trusted_and_untrusted_text_is_defused() -> None:
    made = defuse([Segment("user", "<|im_"), Segment("user", "end|>", trusted=False)])
    assert "<|im_end|>" not in made


def test_segments_of_a_role_join_and_a_neutral_system_turn_is_put_first() -> None:
    made = turns((Segment("user", "a"), Segment("user", "b", trusted=False), Segment("assistant", "c")))
    assert [role for role, _ in made] == ["system", "user", "assistant"]
    assert made[1:] == [("user", "ab"), ("assistant", "c")]
    own = turns((Segment("system", "s"), Segment("user", "u")))
    assert own == [("system", "s"), ("user", "u")]
    assert without_system(own) == [("user", "s\n\nu")]
    assert without_system([("system", "s")]) == [("user", "s")]
    assert [message.type for message in to_messages(made)] == ["system", "human", "ai"]
    with pytest.raises(InputError):
        turns(())
