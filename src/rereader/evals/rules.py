"""The rules of published benchmarks, by name: what each gives an answer, beside the measures that all items have.

A rule's main value is the score ``own``. Where a rule ``decides``, it is what ``right`` says too; otherwise ``right``
stays with whole words within the answer budget, since the published rule has a hole (the rule's docstring says
which). Rules read no more of an answer than its budget of words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rereader.evals.items import Item
from rereader.evals.wordings import exact_match, token_f1
from rereader.schema.errors import MissingExtra
from rereader.tools.wording import holds, normalise

OWN = "own"
Score = Callable[[Item, str], Mapping[str, float]]
ROUGES = ("rouge1", "rouge2", "rougeL")
_LETTER = re.compile(r"\(([A-Z])\)|(?<![\w'\u2019])([A-Z])(?=\s*(?:[).:,]|$))", re.MULTILINE)
_VERDICT = re.compile(r"\b(true|yes|false|no)\b", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_THE_ANSWER = "the answer is"


@dataclass(frozen=True)
class Rule:
    """How a benchmark scores an answer, and whether that is the number that tables show as ``right``."""

    score: Score
    decides: bool


def part_in_string(item: Item, said: str) -> dict[str, float]:
    """RULER's rule for its question answering: 1 if any accepted answer is a substring, whatever the case.

    Its hole: ``no`` is found inside ``nothing``.
    """
    return {OWN: float(any(gold.lower() in said.lower() for gold in item.answers))}


def all_in_string(item: Item, said: str) -> dict[str, float]:
    """RULER's rule for its other tasks: the share of the answers that are substrings, whatever the case.

    Its hole: whoever names every number of the text is right; the answer budget narrows it.
    """
    found = [gold.lower() in said.lower() for gold in item.answers]
    return {OWN: sum(found) / len(found)}


def two_way(item: Item, said: str) -> dict[str, float]:
    """RULER-HQA's ``sub_em`` (arXiv 2507.02259): gold in prediction or prediction in gold, both normalised.

    The prediction is what follows the last "the answer is", or stands in a box; where neither is there, the whole
    answer, since our graphs answer without the phrase (the published scorer gives 0). Its hole: a fragment of the
    gold answer is right.
    """
    prediction = " ".join(normalise(_final(said)))
    golds = [" ".join(normalise(gold)) for gold in item.answers] if said.strip() else []
    return {OWN: float(any(gold in prediction or prediction in gold for gold in golds))}


def choice(item: Item, said: str) -> dict[str, float]:
    """Multiple choice: the letter that the answer gives, or the one option whose wording it repeats.

    ``meta`` holds the ``options``; the accepted answer is one of them. Two different letters, or none, are wrong.
    """
    options: Sequence[str] = item.meta["options"]
    return {OWN: float(chosen(said, options) == options.index(item.answers[0]))}


def truth(item: Item, said: str) -> dict[str, float]:
    """FLenQA's rule (arXiv 2402.14848): the last ``true``, ``yes``, ``false`` or ``no`` of the answer decides."""
    verdicts = _VERDICT.findall(said)
    wanted = item.answers[0].lower() == "true"
    return {OWN: float(bool(verdicts) and (verdicts[-1].lower() in {"true", "yes"}) == wanted)}


def labels(item: Item, said: str) -> dict[str, float]:
    """BABILong's rule (arXiv 2406.10149): of the task's labels the first sentence names the right ones and no other.

    Labels are whole words here, substrings in the published scorer. ``meta`` holds the ``labels`` of the task that
    the question does not name; an answer of several labels joins them with commas.
    """
    sentence = said.lower().strip().partition(".")[0]
    named = {label for label in item.meta["labels"] if names(sentence, label)}
    return {OWN: float(any(named == set(gold.split(",")) for gold in item.answers))}


def path(item: Item, said: str) -> dict[str, float]:
    """The rule for task 19 of bAbI: the steps of a way in their order, as letters or words."""
    steps = [word[0] for word in normalise(said) if word in _STEPS]
    return {OWN: float(any(steps == gold.split(",") for gold in item.answers))}


def f1(item: Item, said: str) -> dict[str, float]:
    """LongBench's and Qasper's rule: token F1 with the best accepted answer."""
    return {OWN: token_f1(said, item.answers)}


def em(item: Item, said: str) -> dict[str, float]:
    """The rule of HotpotQA and its kin: exact match, normalised; F1 stands beside it anyway."""
    return {OWN: float(exact_match(said, item.answers))}


def rouge(item: Item, said: str) -> dict[str, float]:
    """ROUGE-1, -2 and -L, stemmed F-measures against the best reference of each; the rule is ROUGE-L.

    Raises:
        MissingExtra: If rouge-score is not installed.
    """
    scores = [_scorer().score(reference, said) for reference in item.answers]
    best = {name: max(float(one[name].fmeasure) for one in scores) for name in ROUGES}
    return {OWN: best["rougeL"], **best}


RULES: dict[str, Rule] = {
    "part_in_string": Rule(part_in_string, decides=False),
    "all_in_string": Rule(all_in_string, decides=False),
    "two_way": Rule(two_way, decides=False),
    "em": Rule(em, decides=False),
    "choice": Rule(choice, decides=True),
    "truth": Rule(truth, decides=True),
    "labels": Rule(labels, decides=True),
    "path": Rule(path, decides=True),
    "f1": Rule(f1, decides=True),
    "rouge": Rule(rouge, decides=True),
}
_STEPS = frozenset({"n", "e", "s", "w", "north", "east", "south", "west"})


def chosen(said: str, options: Sequence[str]) -> int | None:
    """The option that an answer chooses, by its letter or its wording; ``None`` where it chooses none or several."""
    if named := [at for at, option in enumerate(options) if exact_match(said, [option])]:
        return named[0] if len(named) == 1 else None
    letters = {ord(found[0] or found[1]) - ord("A") for found in _LETTER.findall(said)}
    places = {letter for letter in letters if letter < len(options)}
    if not places:
        places = {at for at, option in enumerate(options) if names(said, option)}
    return places.pop() if len(places) == 1 else None


def names(said: str, wording: str) -> bool:
    """Whether a wording stands in what is said, both normalised, as whole words."""
    return holds(normalise(said), normalise(wording))


def _final(said: str) -> str:
    if boxed := _BOXED.findall(said):
        return str(boxed[-1])
    _, found, after = said.lower().rpartition(_THE_ANSWER)
    return after if found else said


@lru_cache(maxsize=1)
def _scorer() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise MissingExtra("ROUGE", "bench") from error
    return RougeScorer(list(ROUGES), use_stemmer=True)
