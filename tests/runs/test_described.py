"""Every setting of every graph says what it is for."""

from dataclasses import dataclass, fields, replace
from typing import Annotated, Literal

import pytest
from pydantic import Field

from rereader.agents.settings import ReadingSettings
from rereader.graphs.registry import all_graphs, get_graph
from rereader.runs.described import settings_of


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
        length: How long it is.
        seed: Where its luck begins.

    Raises:
        Nothing: Ever.
    """

    pace: Literal["slow", "fast"] = "slow"
    length: Annotated[float, Field(gt=0, lt=2.5)] = 1.0


def test_own_settings_come_first_and_speak_for_themselves():
    told = settings_of(replace(get_graph("retrieval"), settings_type=OddSettings))
    assert [setting.name for setting in told[:3]] == ["pace", "length", "seed"]
    pace, length, seed = told[:3]
    assert (pace.default, pace.values) == ("slow", "slow | fast")
    assert pace.meaning == "How fast it goes: ``slow``, or ``fast`` if told so."
    assert seed.meaning == "Where its luck begins."
    by_name = {setting.name: setting for setting in told}
    assert by_name["chunk_tokens"].meaning == "Most tokens of a chunk."
    assert (length.values, by_name["chunk_tokens"].values) == ("float > 0 < 2.5", "int >= 1")
    assert (by_name["decline_below"].values, by_name["answer"].values) == ("float >= 0 <= 1", "true | false")
    ratio = next(one for one in settings_of(get_graph("compressed-memory")) if one.name == "ratio")
    assert ratio.values == "float >= 1 <= 16"
