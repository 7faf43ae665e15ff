"""A run of many steps, written into the stores without reading anything: a memory rewritten and a quote kept a step."""

from rereader.memory.runs import Call, Step
from rereader.prompts.loader import Piece, load, prompt_sha256, references
from rereader.schema import Budget, Record, RecordKind, Span, Usage

RUN = "feedc0ffee12"
FILLING = "abcdefghi " * 149 + "ab"
WIDTH = 1_500


def write_long_run(library, steps=2_000):
    """Write the run; its document has ``WIDTH`` characters for each step. Returns the document's id."""
    text = "".join(f"{n:>6} " + FILLING + "\n" for n in range(steps))
    document = library.documents.add(text, title="long.txt", source="long.txt", loader="text/1").id
    settings, memory = {"k": 1}, library.working_memory(RUN)
    with library.database.transaction():
        library.runs.create(
            RUN, question="What?", graph="g", settings=settings, models={}, budget=Budget(), document_ids=[document]
        )
        held = []
        for number in range(1, steps + 1):
            held = [_step(library, memory, number, document, text, held)]
    return document


def _step(library, memory, number, document, text, held):
    start = (number - 1) * WIDTH
    span = Span(document_id=document, start=start, end=start + WIDTH)
    note = _record(number, RecordKind.NOTE, f"Seen up to step {number}: nothing yet.", span, held)
    passage = Span(document_id=document, start=start, end=start + 60)
    quote = _record(number, RecordKind.QUOTE, text[start : start + 60], passage, [])
    version = memory.write(number - 1, [("note", note), ("quote", quote)], held)
    template = load("rewrite")
    slots = {
        "question": "What?",
        "known": [Piece(record.content, record=record.id) for record in held],
        "memory": [Piece(text[start : start + WIDTH], span=span)],
    }
    call = Call(
        role="reader",
        method="generate",
        template=f"{template.name}@{template.digest}",
        slots=references(slots),
        prompt_sha256=prompt_sha256(template.render(**slots)),
        reply=note.content,
        prompt_tokens=400,
        completion_tokens=9,
        cached=False,
    )
    detail = {"decisions": [[0, number, 0.5, 0.25, True]], "scores": {quote.id: 0.75}}
    library.runs.add_step(RUN, Step(number, "read", 0.0, 0.5, version, detail, Usage(calls=1), (call,)), Usage())
    return note


def _record(number, kind, content, span, parents):
    return Record.create(
        run_id=RUN,
        kind=kind,
        content=content,
        agent="reader",
        spans=[span],
        parents=[parent.id for parent in parents],
        step=number,
    )
