"""Every setting of every graph says what it is for."""

from dataclasses import dataclass, fields, replace
from typing import Literal

import pytest

from rereader.agents.settings import ReadingSettings
from rereader.cli.described import settings_of
from rereader.graphs.registry import all_graphs, get_graph


@pytest.mark.parametrize("graph", all_graphs(), ids=lambda graph: graph.name)
def test_every_setting_has_a_meaning(graph):
    told = settings_of(graph)
    assert {setting.name for setting in told} == {field.name for field in fields(graph.settings_type)}
    assert not [setting.name for setting in told if not setting.meaning]


@dataclass(frozen=True)
class OddSettings(ReadingSettings):
    """Settings of nobody.

    Args:
        pace: How fast it goes: ``slow``, or
            ``fast`` if told so.
        seed: Where its luck begins.

    Raises:
        Nothing: Ever.
    """

    pace: Literal["slow", "fast"] = "slow"


def test_own_settings_come_first_and_speak_for_themselves():
    told = settings_of(replace(get_graph("retrieval"), settings_type=OddSettings))
    assert [setting.name for setting in told[:3]] == ["pace", "seed", "chunk_tokens"]
    pace, seed, chunk_tokens = told[:3]
    assert (pace.default, pace.values) == ("slow", "slow | fast")
    assert pace.meaning == "How fast it goes: ``slow``, or ``fast`` if told so."
    assert seed.meaning == "Where its luck begins."
    assert chunk_tokens.meaning == "Most tokens of a chunk."
