"""``rereader blame``: what an answer rests on, and when a run knew a fact and lost it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.text import Text

from rereader.cli import completion, options
from rereader.cli.console import output, print_json
from rereader.cli.where import where
from rereader.memory.library import Library
from rereader.memory.runs import Run
from rereader.runs.blame import Blamed, Course, Origin, blame, course
from rereader.schema import InputError, Span

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
        typer.Option("--at", help="Where the fact stands: START-END, or DOCUMENT:START-END. May be repeated."),
    ] = None,
    workspace: options.Workspace = None,
    json: options.Json = False,
) -> None:
    """Trace an answer back to the characters that it rests on; or a fact through the steps of a run.

    What was written from quotes is traced exactly. What was written from prose that a model had made is traced by its
    words, and so approximately. A fact is known after a step if its words stand in the working memory, or a quote
    covers its place.

    For example:

    rereader blame 3f2a

    rereader blame 3f2a --fact Tamwenis --at 58-96
    """
    with Library(options.configuration(workspace).workspace) as library:
        run = library.runs.get(run_id)
        if fact:
            spans = [_span(library, run, text) for text in at or []]
            courses = [course(library, run, one, spans) for one in fact]
            if json:
                print_json([_course_fields(one) for one in courses])
            else:
                _show_courses(courses)
            return
        if at:
            raise InputError("--at says where a fact stands.", "Name the fact with --fact.")
        found = blame(library, run)
        if json:
            print_json([_fields(one) for one in found])
        else:
            _show(library, found)


def _span(library: Library, run: Run, text: str) -> Span:
    name, _, places = text.rpartition(":")
    start, _, end = places.partition("-")
    documents = [one for one in run.document_ids if one.startswith(name)]
    if not (start.isdecimal() and end.isdecimal() and int(start) < int(end)):
        raise InputError(f"--at {text!r} is no place.", "For instance --at 58-96, or --at 3f2a:58-96.")
    if len(documents) != 1:
        known = ", ".join(identity[:12] for identity in run.document_ids)
        raise InputError(f"--at {text!r} does not say which document.", f"The run has {known}.")
    length = library.documents.get(documents[0]).length
    if int(end) > length:
        raise InputError(f"--at {text!r} lies beyond the document.", f"It has {length:,} characters.")
    return Span(document_id=documents[0], start=int(start), end=int(end))


def _show(library: Library, found: Sequence[Blamed]) -> None:
    console = output()
    for one in found:
        console.print(Text(one.claim.text, style="bold"))
        for evidence, origin in one.quotes:
            later = "" if one.exact else ", found for the answer afterwards"
            place = f"{where(evidence)}, characters {evidence.start}-{evidence.end}"
            console.print(Text(f"  {place}: {_step(origin)}{later}", style="dim"))
            console.print(Text(f"    “{' '.join(evidence.quote.split())}”"))
        for carried in one.carried:
            said = f"  {', '.join(carried.words)}: in memory since {_step(carried.origin)}, approximately"
            console.print(Text(f"{said}{_made_from(library, carried.origin)}", style="dim"))
            text = " ".join(carried.origin.record.content.split())
            console.print(Text(f"    {text[:_SHOWN]}{'…' if len(text) > _SHOWN else ''}"))
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


def _course_fields(one: Course) -> dict[str, Any]:
    told = {"first": one.first, "losses": list(one.losses), "known_at_end": one.known_at_end}
    return {"fact": one.fact, **told, "steps": [asdict(known) for known in one.steps]}


def _fields(one: Blamed) -> dict[str, Any]:
    return {
        "claim": one.claim.model_dump(mode="json"),
        "exact": one.exact,
        "quotes": [{**evidence.model_dump(mode="json"), **_origin(origin)} for evidence, origin in one.quotes],
        "carried": [{"words": list(carried.words), **_origin(carried.origin)} for carried in one.carried],
        "loose": list(one.loose),
    }


def _origin(origin: Origin) -> dict[str, Any]:
    spans = [span.model_dump(mode="json") for span in origin.record.spans]
    return {"step": origin.step, "node": origin.node, "lost": origin.lost, "record": origin.record.id, "spans": spans}
