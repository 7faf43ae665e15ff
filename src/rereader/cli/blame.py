"""``rereader blame``: what an answer rests on, and when a run knew a fact and lost it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from rereader.cli import completion, options
from rereader.cli.console import one_line, output, print_json, shortened
from rereader.cli.passage import show_passage
from rereader.cli.where import where
from rereader.memory.library import Library
from rereader.memory.runs import Run
from rereader.runs.blame import Blamed, Course, blame, course
from rereader.runs.knowledge import Origin
from rereader.runs.passages import Passage, passage
from rereader.runs.places import place_of

_SHOWN = 160
"""Characters of a prose memory that are printed."""


def blame_run(
    run_id: Annotated[
        str, typer.Argument(help="Id of a run, or its first characters.", autocompletion=completion.run_ids)
    ],
    fact: Annotated[
        list[str] | None, typer.Option("--fact", help="When was this known, and when lost? May be repeated.")
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", help="A place: START-END, or DOCUMENT:START-END. May be repeated."),
    ] = None,
    workspace: options.Workspace = None,
    json: options.Json = False,
) -> None:
    """Trace an answer back to the characters that it rests on; a fact, or a passage, through the steps of a run.

    What was written from quotes is traced exactly. What was written from prose that a model had made is traced by its
    words, and so approximately. A fact is known after a step if its words stand in the working memory, or a quote
    covers its place (--at). With --at alone it is told what became of the passage: which prompts it stood in, what a
    gate decided on it, what was made from it, what the memory kept of it and until when, and which claims rest on it.

    For example:

    rereader blame 3f2a

    rereader blame 3f2a --fact Tamwenis --at 58-96

    rereader blame 3f2a --at notes.txt:0-37
    """
    with Library(options.configuration(workspace).workspace) as library:
        run = library.runs.get(run_id)
        documents = [library.documents.get(identity) for identity in run.document_ids]
        spans = [place_of(documents, text) for text in at or []]
        if fact:
            courses = [course(library, run, one, spans) for one in fact]
            if json:
                print_json([one.as_json() for one in courses])
            else:
                _show_courses(courses)
        elif spans:
            _show_passages(library, run, [passage(library, run, span) for span in spans], json=json)
        else:
            _show_claims(library, blame(library, run), json=json)


def _show_passages(library: Library, run: Run, found: Sequence[Passage], *, json: bool) -> None:
    if json:
        print_json([one.as_json() for one in found])
        return
    for one in found:
        show_passage(output(), library.documents.get(one.span.document_id), one)


def _show_claims(library: Library, found: Sequence[Blamed], *, json: bool) -> None:
    if json:
        print_json([_fields(one) for one in found])
    else:
        _show(library, found)


def _show(library: Library, found: Sequence[Blamed]) -> None:
    console = output()
    for one in found:
        console.print(Text(one.claim.text, style="bold"))
        for evidence, origin, exact in one.quotes:
            later = "" if exact else ", found for the answer afterwards"
            place = f"{where(evidence)}, characters {evidence.start}-{evidence.end}"
            console.print(Text(f"  {place}: {_step(origin)}{later}", style="dim"))
            console.print(Text(f"    “{one_line(evidence.quote)}”"))
        for carried in one.carried:
            said = f"  {', '.join(carried.words)}: in memory since {_step(carried.origin)}, approximately"
            console.print(Text(f"{said}{_made_from(library, carried.origin)}", style="dim"))
            console.print(Text(f"    {shortened(carried.origin.record.content, _SHOWN)}"))
        if one.loose:
            console.print(Text(f"  in none of them: {', '.join(one.loose)}", style="yellow"))


def _step(origin: Origin) -> str:
    return f"step {origin.step} ({origin.node})"


def _made_from(library: Library, origin: Origin) -> str:
    titles = {span.document_id: library.documents.get(span.document_id).title for span in origin.record.spans}
    spans = [f"{titles[span.document_id]}, characters {span.start}-{span.end}" for span in origin.record.spans]
    return f", from {'; '.join(spans)}" if spans else ""


def _show_courses(courses: Sequence[Course]) -> None:
    for one in courses:
        output().print(Text(one.fact, style="bold"))
        if one.first is None:
            output().print("  never known")
            continue
        nodes = {known.step: known.node for known in one.steps}
        output().print(f"  known first after step {one.first} ({nodes[one.first]})", markup=False)
        for step in one.losses:
            output().print(f"  lost by step {step} ({nodes[step]})", markup=False)
        output().print(f"  {'known' if one.known_at_end else 'not known'} at the end", markup=False)


def _fields(one: Blamed) -> dict[str, Any]:
    return {
        "claim": one.claim.model_dump(mode="json"),
        "exact": one.exact,
        "quotes": [
            {**evidence.model_dump(mode="json"), **_origin(origin), "exact": exact}
            for evidence, origin, exact in one.quotes
        ],
        "carried": [{"words": list(carried.words), **_origin(carried.origin)} for carried in one.carried],
        "loose": list(one.loose),
    }


def _origin(origin: Origin) -> dict[str, Any]:
    spans = [span.model_dump(mode="json") for span in origin.record.spans]
    return {"step": origin.step, "node": origin.node, "lost": origin.lost, "record": origin.record.id, "spans": spans}
