"""Types, budget and errors that every other package shares. Imports pydantic only."""

from rereader.schema.answer import Answer, Claim, Evidence
from rereader.schema.budget import Budget, BudgetMeter
from rereader.schema.errors import (
    AtWork,
    BudgetSpent,
    Busy,
    Damaged,
    InputError,
    Interrupted,
    MissingExtra,
    ModelError,
    NotThere,
    RereaderError,
    StoreError,
)
from rereader.schema.events import Event, Progress
from rereader.schema.types import Chunk, Document, Match, Place, Quote, Record, RecordKind, Span
from rereader.schema.usage import Usage

__all__ = [
    "Answer",
    "AtWork",
    "Budget",
    "BudgetMeter",
    "BudgetSpent",
    "Busy",
    "Chunk",
    "Claim",
    "Damaged",
    "Document",
    "Event",
    "Evidence",
    "InputError",
    "Interrupted",
    "Match",
    "MissingExtra",
    "ModelError",
    "NotThere",
    "Place",
    "Progress",
    "Quote",
    "Record",
    "RecordKind",
    "RereaderError",
    "Span",
    "StoreError",
    "Usage",
]
