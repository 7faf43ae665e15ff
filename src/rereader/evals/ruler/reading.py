"""The two tasks that answer questions on paragraphs (SQuAD, HotpotQA) among others, in a drawn order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from random import Random

from rereader.evals.drafts import Draft
from rereader.evals.haystack import SENTENCE_BREAK
from rereader.evals.paragraphs import Paragraph, tells
from rereader.evals.ruler.sample import Sample
from rereader.evals.ruler.sources import Sources
from rereader.schema.errors import InputError

_LEAST = 5
"""Words that the last paragraph, which is cut to length, has at least."""


def single_hop(sources: Sources, rng: Random, units: int, _tokens: int) -> Sample:
    """A SQuAD question: its paragraph, others of the article, then those of others, ``units`` words of them."""
    raw = rng.choice(sources.squad)
    near = [text for text in sources.articles[raw["title"]] if text != raw["context"]]
    rng.shuffle(near)
    own = _paragraph(raw["title"], raw["context"])
    told = (one for one in (_paragraph(raw["title"], text) for text in near) if not tells(one, raw["answers"]))
    others = chain(told, sources.pool.drawn(rng, {raw["title"]}, raw["answers"]))
    gold = {(0, _place(own, raw["answer_start"]))}
    return _sample(raw["question"], raw["answers"], [own], others, rng, units, gold)


def two_hops(sources: Sources, rng: Random, units: int, _tokens: int) -> Sample:
    """A HotpotQA question: the two paragraphs that answer it, then ``units`` words of its other eight and of others."""
    raw = rng.choice(sources.hotpot)
    wanted = {title for title, _ in raw["supporting_facts"]}
    own = [paragraph for paragraph in raw["paragraphs"] if paragraph["title"] in wanted]
    rest = [paragraph for paragraph in raw["paragraphs"] if paragraph["title"] not in wanted]
    titles = [paragraph["title"] for paragraph in own]
    gold = {(titles.index(title), index) for title, index in raw["supporting_facts"] if title in titles}
    others = sources.pool.drawn(rng, {paragraph["title"] for paragraph in raw["paragraphs"]}, [raw["answer"]])
    return _sample(raw["question"], [raw["answer"]], own, chain(rest, others), rng, units, gold)


def _sample(
    question: str,
    answers: Sequence[str],
    own: Sequence[Paragraph],
    others: Iterator[Paragraph],
    rng: Random,
    units: int,
    gold: set[tuple[int, int]],
) -> Sample:
    """The paragraphs shuffled and numbered; ``gold`` names sentences of the question's own by paragraph and number."""
    mixed: list[tuple[int | None, Paragraph]] = [*enumerate(own), *((None, one) for one in _cut(others, units))]
    rng.shuffle(mixed)
    draft, spans = Draft(), []
    for number, (place, paragraph) in enumerate(mixed, 1):
        draft.add(f"Document {number}: {paragraph['title']}\n")
        for index, sentence in enumerate(paragraph["sentences"]):
            span = draft.add(sentence.strip())
            draft.add(" ")
            if place is not None and (place, index) in gold:
                spans.append(span)
        draft.add("\n\n")
    return Sample(draft.text(), question, tuple(answers), tuple(sorted(spans)), "any", "part_in_string")


def _cut(paragraphs: Iterator[Paragraph], words: int) -> Iterator[Paragraph]:
    """So many words of paragraphs; the last one ends where they are spent."""
    left = words
    while left >= _LEAST:
        paragraph = next(paragraphs, None)
        if paragraph is None:
            raise InputError("There are not enough paragraphs for so long a text.", "Ask for fewer tokens.")
        kept = []
        for sentence in paragraph["sentences"]:
            kept.append(" ".join(sentence.split()[:left]))
            left -= len(kept[-1].split())
        yield {"title": paragraph["title"], "sentences": [sentence for sentence in kept if sentence]}


def _paragraph(title: str, text: str) -> Paragraph:
    """A paragraph of SQuAD, cut into sentences that join to it."""
    ends = [found.end() for found in SENTENCE_BREAK.finditer(text)]
    sentences = [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    return {"title": title.replace("_", " "), "sentences": sentences}


def _place(paragraph: Paragraph, offset: int) -> int:
    """Number of the sentence that holds a character of the joined sentences."""
    ends = accumulate(map(len, paragraph["sentences"]))
    return next(number for number, end in enumerate(ends) if offset < end)
