"""Answers and records as notebooks show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rereader.schema.confidence import confidence_words
from rereader.schema.html import Html, box, facts, folded, shown, styled

if TYPE_CHECKING:
    from rereader.schema.answer import Answer, Evidence
    from rereader.schema.types import Record, Span
    from rereader.schema.usage import Usage

_NOT_CITED = 10
"""Quotes beside those that claims rest on."""


def answer_html(answer: Answer) -> Html:
    """An answer: its claims with footnotes, their quotes, and what it cost."""
    about = [f"run {answer.run_id}", answer.graph, answer.status.replace("_", " ")]
    about = [*about, confidence_words(answer)] if answer.confidence is not None else about
    return box(answer.question, " · ".join(about), *answer_parts(answer), styled(cost(answer.usage), "faint", "div"))


def answer_parts(answer: Answer) -> list[Html]:
    """The claims of an answer, its warnings and its quotes."""
    cited = answer.cited()
    rest = answer.quote_order()[len(cited) :]
    parts = [styled(_claims(answer, cited), "", "div")]
    parts += [styled(warning, "warning", "div") for warning in answer.warnings]
    parts += [_quote(number, answer.evidence[index]) for number, index in enumerate(cited, 1)]
    if rest:
        first = len(cited) + 1
        quotes = [_quote(number, answer.evidence[index]) for number, index in enumerate(rest[:_NOT_CITED], first)]
        left = len(rest) - len(quotes)
        more = [styled(f"and {left:,} more", "faint", "div")] if left else []
        parts.append(folded(f"other quotes: {len(rest):,}", *quotes, *more))
    return parts


def _claims(answer: Answer, cited: list[int]) -> Html:
    if not answer.claims:
        return shown(answer.answer or "(no answer)")
    numbers = [" ".join(f"[{cited.index(index) + 1}]" for index in claim.evidence) for claim in answer.claims]
    return Html(
        " ".join(
            f"{shown(claim.text)} {styled(number or '(no quote carries this)', 'faint')}"
            for claim, number in zip(answer.claims, numbers, strict=True)
        )
    )


def _quote(number: int, quote: Evidence) -> Html:
    named = (
        ("p. ", quote.page),
        ("§ ", quote.section),
        ("row ", quote.row),
        ("at ", quote.time),
        ("line ", quote.line),
    )
    places = [f"{word}{value}" for word, value in named if value is not None]
    state = "verified" if quote.verified else "NOT verified"
    where = ", ".join([quote.document, *places, f"characters {quote.start}-{quote.end}", state])
    return Html(styled(f"[{number}] {where}", "faint", "div") + styled(" ".join(quote.quote.split()), "quote", "div"))


def record_html(record: Record) -> Html:
    """A record: who wrote it when, from what, and its content."""
    made = {"from": spans_text(record.spans), "in place of": ", ".join(name[:12] for name in record.parents)}
    title, about = f"{record.kind.value} {record.id[:12]}", f"{record.agent}, step {record.step}, of {record.run_id}"
    return box(title, about, styled(record.content, "quote", "div"), facts({**made, "model": record.model}))


def spans_text(spans: tuple[Span, ...]) -> str:
    """Where spans stand, in words."""
    return ", ".join(f"{span.document_id[:12]} characters {span.start}-{span.end}" for span in spans)


def cost(usage: Usage) -> str:
    """Calls, tokens and seconds of a run in a line."""
    return f"{spent(usage)} · {sum(usage.seconds.values()):.1f} s"


def spent(usage: Usage) -> str:
    """Calls and tokens in a line."""
    return f"calls: {usage.calls:,} ({usage.cached_calls:,} cached) · tokens: {usage.total_tokens:,}"
