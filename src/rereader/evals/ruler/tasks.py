"""The thirteen tasks by their published names."""

from __future__ import annotations

from dataclasses import dataclass

from rereader.evals.ruler.needles import Lookup
from rereader.evals.ruler.reading import single_hop, two_hops
from rereader.evals.ruler.sample import Maker
from rereader.evals.ruler.tracing import variable_tracking
from rereader.evals.ruler.words import common_words, frequent_words


@dataclass(frozen=True)
class Task:
    """A task.

    Args:
        make: Makes its samples.
        answer_tokens: Room for the answer in the total length.
        essays: Whether its texts are made of essays.
        paragraphs: Whether they are made of paragraphs.
    """

    make: Maker
    answer_tokens: int
    essays: bool = False
    paragraphs: bool = False


TASKS: dict[str, Task] = {
    "niah_single_1": Task(Lookup("noise"), 128),
    "niah_single_2": Task(Lookup("essays"), 128, essays=True),
    "niah_single_3": Task(Lookup("essays", value="uuid"), 128, essays=True),
    "niah_multikey_1": Task(Lookup("essays", keys=4), 128, essays=True),
    "niah_multikey_2": Task(Lookup("needles"), 128),
    "niah_multikey_3": Task(Lookup("needles", key="uuid", value="uuid"), 128),
    "niah_multivalue": Task(Lookup("essays", values=4), 128, essays=True),
    "niah_multiquery": Task(Lookup("essays", keys=4, asked=4), 128, essays=True),
    "vt": Task(variable_tracking, 30),
    "cwe": Task(common_words, 120),
    "fwe": Task(frequent_words, 50),
    "qa_1": Task(single_hop, 32, paragraphs=True),
    "qa_2": Task(two_hops, 32, paragraphs=True),
}
