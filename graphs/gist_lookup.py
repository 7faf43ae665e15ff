"""The text is cut into pages, each page is remembered as a gist, and those that a question needs are read again.

After ReadAgent (arXiv 2402.09727, and its published notebook). Idea: like a person, keep the gist of everything in
view and turn back to a page for its details. The reader ends each page where a pause is natural, shortens every page on
its own, names pages from all the gists and the question, and answers from the gists with these pages in their places.
Pages and gists belong to the document and are made once. Sizes are those published for QuALITY; for books the paper has
``max_words`` 3000 and ``min_words`` 500.

``lookup=parallel`` is ReadAgent-P, ``sequential`` ReadAgent-S, ``none`` is GistMem; ``embedding`` and
``pagination=uniform`` are the paper's ablations. ``hybrid`` is ours: small models choose pages badly, so the page whose
gist is nearest to the question is read, too.

Where it departs: the end of a page is the likeliest label unless ``pagination=generate``; a single possible end is
taken without asking; a paragraph longer than a page is cut at its sentences; a gist that is empty, longer than its
page or copied from it is replaced by the page's first sentences; gists that do not fit the window are left out, those
least like the question first; a wrong number ends a sequential look-up. Quotes are found afterwards in the pages that
were read again. With ``gist_by=gister`` another model may write the gists; the paper has one model for everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from rereader.agents.chunker import chunk
from rereader.agents.context import ReadingState, Work
from rereader.agents.fixing import fixed_by
from rereader.agents.page_answerer import answer_from_pages
from rereader.agents.page_gister import gist_pages
from rereader.agents.page_lookup import goes_on, look_up
from rereader.agents.paginator import paginate
from rereader.agents.settings import Count, Positive, ReadingSettings
from rereader.graphs.registry import reading_graph
from rereader.graphs.routing import Graph, connect, new_graph


@dataclass(frozen=True)
class GistLookupSettings(ReadingSettings):
    """Settings of ``gist-lookup``.

    Args:
        pagination: How the end of a page is chosen: ``choose`` takes the likeliest label, ``generate`` the one that the
            reader writes, ``uniform`` the last, without a model.
        min_words: Words after which a page may end.
        max_words: Most words of a page; only a longer sentence passes it.
        rest_words: What is left of a document is its last page if it has fewer words.
        gist_by: Role whose model writes the gists.
        gist_tokens: Most tokens of a gist.
        lookup: How pages are looked up: ``parallel``, ``sequential``, ``hybrid``, ``embedding`` or not at all.
        pages: Most pages that are looked up at once; ``hybrid`` adds one.
        turns: Most turns of a sequential look-up.
    """

    pagination: Annotated[Literal["choose", "generate", "uniform"], fixed_by("paginate")] = "choose"
    min_words: Annotated[Positive, fixed_by("paginate")] = 280
    max_words: Annotated[Positive, fixed_by("paginate")] = 600
    rest_words: Annotated[Count, fixed_by("paginate")] = 350
    gist_by: Annotated[Literal["reader", "gister"], fixed_by("gist")] = "reader"
    gist_tokens: Annotated[Positive, fixed_by("gist")] = 192
    lookup: Annotated[Literal["parallel", "sequential", "hybrid", "embedding", "none"], fixed_by("lookup")] = "parallel"
    pages: Annotated[Positive, fixed_by("lookup")] = 5
    turns: Annotated[Positive, fixed_by("lookup")] = 6

    @property
    def honesty(self) -> str:
        """The label: ``hybrid`` is ours."""
        return "ours" if self.lookup == "hybrid" else "faithful"

    def __post_init__(self) -> None:
        if self.min_words > self.max_words:
            msg = "min_words must not be above max_words"
            raise ValueError(msg)


@reading_graph("gist-lookup", system="ReadAgent 2402.09727", honesty="faithful", settings=GistLookupSettings)
def build(settings: GistLookupSettings) -> Graph:
    """Build chunk -> paginate -> gist -> lookup (in turns if sequential) -> answer."""

    def next_turn(state: ReadingState) -> str:
        return "lookup" if goes_on(settings, state) else "answer"

    works: list[tuple[str, Work]] = [("chunk", chunk), ("paginate", paginate), ("gist", gist_pages)]
    if settings.lookup != "none":
        works.append(("lookup", look_up))
    works.append(("answer", answer_from_pages))
    graph = new_graph(works)
    for origin, goal in pairwise([*(name for name, _ in works), "finish"]):
        if origin == "lookup" and settings.lookup == "sequential":
            connect(graph, "lookup", "lookup", "answer", choose=next_turn)
        else:
            connect(graph, origin, goal)
    return graph
