"""The dataset contract: what a benchmark hands to the harness, and the registry of benchmarks.

A benchmark is one module ``rereader.evals.<name>`` with one class registered by ``@benchmark("<name>")``.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, get_args

from rereader.schema.errors import InputError

Split = Literal["dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Expects = Literal["any", "all", "decline"]
GoldSpan = tuple[str, int, int]
"""A text's key and half-open offsets ``[start, end)`` in code points."""


@dataclass(frozen=True)
class Item:
    """One question of a benchmark.

    Args:
        id: Unique within the benchmark and seed.
        benchmark: Name of the benchmark.
        kind: What the question asks of a reader, such as ``two_hop``; tables have one row per kind.
        question: The question.
        answers: Accepted answers; with ``expects="all"`` every one of them is wanted.
        documents: Keys of the benchmark's texts that the question is about.
        gold: Where the answer stands; empty when the right reply is to decline.
        answer_budget: Words of an answer that are scored; what follows them is cut off.
        expects: ``any`` of the answers, ``all`` of them, or to ``decline``.
        seed: The seed that made the item's documents.
        rule: The benchmark's own rule of scoring, a name of :data:`rereader.evals.rules.RULES`; empty without one.
        base: What the same question at another length, in another text, has in common with this one; empty if no other.
        length: Size of the text as the benchmark counts it, such as tokens or documents; 0 if it does not vary.
        meta: Anything else, JSON-plain.
    """

    id: str
    benchmark: str
    kind: str
    question: str
    answers: tuple[str, ...]
    documents: tuple[str, ...]
    gold: tuple[GoldSpan, ...]
    answer_budget: int
    expects: Expects = "any"
    seed: int = 0
    rule: str = ""
    base: str = ""
    length: int = 0
    meta: Mapping[str, Any] = field(default_factory=dict)


class Benchmark(Protocol):
    """Texts and the questions on them. Built from the data folder and the suite's options."""

    name: str

    def text(self, key: str) -> str:
        """The text with this key, made or read when it is first asked for."""

    def items(self, split: Split, seed: int) -> Iterable[Item]:
        """The questions of a split under one seed, in an order whose prefixes mix the kinds."""

    def data_hash(self) -> str:
        """sha256 over every file that the texts and questions are made from."""

    def facts(self) -> dict[str, Any]:
        """What a reader of the results should know of the data, JSON-plain: sizes, tokenizer, options."""


BenchmarkFactory = Callable[[Path, Mapping[str, Any]], Benchmark]
Registered = TypeVar("Registered", bound=BenchmarkFactory)
_FACTORIES: dict[str, BenchmarkFactory] = {}


def benchmark(name: str) -> Callable[[Registered], Registered]:
    """Register a class or function ``(data folder, options) -> Benchmark`` under its module's name."""

    def register(factory: Registered) -> Registered:
        _FACTORIES[name] = factory
        return factory

    return register


def load_benchmark(name: str, data: Path, options: Mapping[str, Any]) -> Benchmark:
    """Build the benchmark that the module ``rereader.evals.<name>`` registers.

    Raises:
        InputError: If there is none of that name, or it cannot use the data or the options.
    """
    module = f"rereader.evals.{name}"
    if name.isidentifier() and importlib.util.find_spec(module) is not None:
        importlib.import_module(module)
    if name not in _FACTORIES:
        raise InputError(f"There is no benchmark {name!r}.", "`rereader bench list` shows the suites there are.")
    return _FACTORIES[name](data, options)
