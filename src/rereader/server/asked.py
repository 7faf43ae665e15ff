"""What requests may hold."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from rereader.runs.edits import Edit
from rereader.schema import Budget


def _sound(text: str) -> str:
    """Refuse half of a character: nothing could store it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("it is not sound Unicode") from error
    return text


Text = Annotated[str, AfterValidator(_sound)]
Named = Annotated[Text, Field(max_length=1_000)]
MOST_NUMBER = 2**63 - 1
"""The largest number that the store can be asked for."""
StepNumber = Annotated[int, Field(ge=0, le=MOST_NUMBER)]
Values = dict[Named, bool | int | float | Text | None]
"""Settings of a graph by name."""


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Limit(_Asked):
    """The most that a run may spend."""

    tokens: int | None = Field(default=None, ge=0)
    calls: int | None = Field(default=None, ge=0)
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    def budget(self) -> Budget | None:
        """The budget; ``None`` if nothing is limited."""
        return None if self == Limit() else Budget(tokens=self.tokens, calls=self.calls, seconds=self.seconds)


class Asked(_Asked):
    """A question. Without documents all of the workspace are meant, or those of the run that it follows."""

    question: Text
    document_ids: list[Named] = Field(default_factory=list)
    graph: Named | None = None
    settings: Values = Field(default_factory=dict)
    budget: Limit = Limit()
    models: dict[Named, Named] = Field(default_factory=dict)
    parent: Named | None = None


class Change(_Asked):
    """A change of a working memory; see ``rereader fork --help``."""

    kind: Literal["edit", "add", "drop", "pin", "unpin"]
    record: Named = ""
    text: Text | None = None
    span: Named = ""
    pin: bool = False

    def edit(self) -> Edit:
        """The edit that it stands for."""
        return Edit(self.kind, self.record, self.text, self.span, self.pin)


class ForkAsked(_Asked):
    """What a fork of a run does otherwise from a step on."""

    step: StepNumber
    edits: list[Change] = Field(default_factory=list)
    question: Text | None = None
    settings: Values = Field(default_factory=dict)
    models: dict[Named, Named] = Field(default_factory=dict)
    budget: Limit = Limit()


class EstimateAsked(_Asked):
    """A question whose cost is asked for."""

    question: Text = ""
    document_ids: list[Named] = Field(default_factory=list)
    graph: Named | None = None
    settings: Values = Field(default_factory=dict)
    models: dict[Named, Named] = Field(default_factory=dict)
