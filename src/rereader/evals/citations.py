"""Scores how an answer's claims rest on what they cite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from rereader.evals.items import GoldSpan
from rereader.evals.scoring import Scores, covered, merge
from rereader.schema import Answer, Claim
from rereader.tools.citations import supports


def score_citations(answer: Answer, keys: Mapping[str, str], gold: Sequence[GoldSpan]) -> Scores:
    """How well the claims of an answer are cited; every value is ``None`` without a claim.

    ``citations`` is the share of claims that cite a verified quote; ``citation_support`` how much of a claim's words
    its verified quotes carry, on average over claims, one that cites nothing counting 0 (a count of words, see
    :func:`rereader.tools.citations.supports`); ``citation_gold`` the share of claims that cite a gold span, ``None``
    without gold.

    Args:
        answer: What a system answered.
        keys: Document id -> key of the benchmark's text.
        gold: Where the answer stands.
    """
    if not answer.claims:
        return {"citations": None, "citation_support": None, "citation_gold": None}
    cited = [_cited(answer, claim, keys) for claim in answer.claims]
    wanted = merge(gold)
    pairs = zip(answer.claims, cited, strict=True)
    return {
        "citations": fmean(bool(found) for found in cited),
        "citation_support": fmean(supports(claim.text, " ".join(found.values())) for claim, found in pairs),
        "citation_gold": fmean(any(covered(s, wanted) for s in found) for found in cited) if gold else None,
    }


def _cited(answer: Answer, claim: Claim, keys: Mapping[str, str]) -> dict[GoldSpan, str]:
    """The verified quotes that a claim cites, by their places in the benchmark's texts."""
    named = [answer.evidence[index] for index in claim.evidence]
    sound = [one for one in named if one.verified and one.document_id in keys]
    return {(keys[one.document_id], one.start, one.end): one.quote for one in sound}
