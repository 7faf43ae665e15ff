"""How much of a claim its quote carries: a plain count of words, not a judgement of truth."""

from __future__ import annotations

from rereader.tools.quote_tokens import is_hard, tokenize
from rereader.tools.words import STOP_WORDS


def supports(claim: str, quote: str) -> float:
    """Share of what the claim says that stands in the quote, from 0 (nothing) to 1 (all of it).

    What a claim says are its different content words (no stop words) and all its numbers, number words, names and
    negations; each counts once. A word stands in the quote when the quote has it, apart from case, accents kept, in
    the same form or with or without a plural or possessive *s*. Synonyms do not count. A claim that says nothing
    gets 0.
    """
    tokens = tokenize(claim)
    said = {
        _stem(norm)
        for raw, norm in zip(tokens.raws, tokens.norms, strict=True)
        if norm not in STOP_WORDS or is_hard(raw, norm)
    }
    if not said:
        return 0.0
    carried = {_stem(norm) for norm in tokenize(quote).norms}
    return len(said & carried) / len(said)


def _stem(word: str) -> str:
    base = word.removesuffix("'s").removesuffix("'")
    return base[:-1] if len(base) > 3 and base.endswith("s") and not base.endswith("ss") else base
