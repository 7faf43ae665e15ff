"""A run as one file that a browser shows without a server: the page with all that it would ask a server for."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from rereader import __version__
from rereader.memory.library import Library
from rereader.memory.runs import Run
from rereader.runs.blame import blame
from rereader.runs.fates import fates
from rereader.runs.outline import outline
from rereader.runs.timeline import timeline
from rereader.schema import InputError
from rereader.server.fields import heat_rounds, record_fields, step_detail, whole_run
from rereader.server.plain import dumped

MOST_CHARACTERS = 50_000_000
"""Text of documents that a file holds; a browser reads it whole."""
_IMPORT = re.compile(r'^import \{ ([^}]+) \} from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function\*?|class|const|let) (\w+))", re.MULTILINE)
_SHEET = re.compile(r'<link rel="stylesheet" href="/static/([\w-]+\.css)">')
_ICON = re.compile(r'<link rel="icon"[^>]*>\n')
_NOSCRIPT = re.compile(r"<noscript>.*?</noscript>", re.DOTALL)
_SCRIPT = re.compile(r'<script type="module" src="/static/(\w+)\.js"></script>')


def offline_page(library: Library, run: Run, prompt_folders: Sequence[Path] = (), folders: Sequence[Path] = ()) -> str:
    """The file.

    Args:
        library: Holds the run.
        run: The run.
        prompt_folders: Where prompt files of somebody's own graphs lie.
        folders: Folders of this machine that the file may not name.

    Raises:
        InputError: If the run's documents are too long for one file.
    """
    length = sum(library.documents.get(identity).length for identity in run.document_ids)
    if length > MOST_CHARACTERS:
        msg = f"The documents of run {run.id} have {length:,} characters; one file holds {MOST_CHARACTERS:,}."
        raise InputError(msg, "Look at it with 'rereader serve', or write its answer with 'rereader open'.")
    page = _file("index.html")
    page = _ICON.sub("", _SHEET.sub(lambda found: f"<style>\n{_file(found[1])}</style>", page))
    start = _SCRIPT.search(page)
    assert start is not None, "index.html starts the page's script"
    script = "\n" + "\n".join(_bundled(start[1])) + "\n"
    held = dumped(stored(library, run, prompt_folders, folders))
    data = base64.b64encode(gzip.compress(held.encode("ascii"), mtime=0)).decode()
    scripts = f'<script type="text/plain" id="stored">{data}</script>\n<script type="module">{script}</script>'
    page = page[: start.start()] + page[start.end() :]
    page = _NOSCRIPT.sub(lambda _: f"<noscript>{_without_script(run)}</noscript>", page)
    return page.replace("<head>", f"<head>\n{_policy(script)}", 1).replace("</body>", f"{scripts}\n</body>", 1)


def stored(
    library: Library, run: Run, prompt_folders: Sequence[Path] = (), folders: Sequence[Path] = ()
) -> dict[str, Any]:
    """What the page would ask a server for: answers by path, records by id, the documents' texts."""
    sketch = outline(library, run)
    records = library.records.find(sorted({identity for *_, identity in sketch.changes}))
    here = f"/api/runs/{run.id}"
    told: dict[str, Any] = {
        here: whole_run(library, run, None, folders),
        f"{here}/outline": sketch,
        f"{here}/chunks": fates(library, run),
        f"{here}/heat": heat_rounds(library.heats(run.id)),
        f"{here}/blame": blame(library, run) if run.answer else [],
    }
    for found in timeline(library, run, prompt_folders):
        told[f"{here}/steps/{found.number}"] = step_detail(found, folders)
    return {
        "run": run.id,
        "version": __version__,
        "answers": told,
        "records": {identity: record_fields(record, folders) for identity, record in records.items()},
        "texts": {identity: library.documents.text(identity) for identity in run.document_ids},
    }


def _file(name: str) -> str:
    return (resources.files("rereader.server") / "static" / name).read_text(encoding="utf-8")


def _bundled(name: str, done: set[str] | None = None) -> Iterator[str]:
    """A module and, before it, those that it imports: each as a function that gives what it exports."""
    done = set() if done is None else done
    if name in done:
        return
    done.add(name)
    source = _file(f"{name}.js")
    for _, wanted in _IMPORT.findall(source):
        yield from _bundled(wanted, done)
    body = _IMPORT.sub(lambda found: f"const {{ {found[1].replace(' as ', ': ')} }} = {_variable(found[2])};", source)
    names = ", ".join(exported for _, exported in _EXPORT.findall(body))
    body = _EXPORT.sub(r"\1", body)
    yield f"const {_variable(name)} = (() => {{\n{body}return {{ {names} }};\n}})();"


def _variable(name: str) -> str:
    return f"{name}Module"


def _policy(script: str) -> str:
    """Only the script above runs, and nothing is fetched."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
    )
    return f'<meta http-equiv="Content-Security-Policy" content="{rules}">'


def _without_script(run: Run) -> str:
    """The answer and its quotes, for browsers that run no script."""
    answer = run.answer
    said = escape(answer.answer) if answer else escape(run.status)
    quotes = "".join(
        f"<li><q>{escape(quote.quote)}</q> {escape(quote.document)}, characters {quote.start}-{quote.end}</li>"
        for quote in ([answer.evidence[index] for index in answer.quote_order()] if answer else ())
    )
    return f"<h1>{escape(run.question)}</h1><p>{said}</p><ol>{quotes}</ol>"
