"""How a finished run reaches the asker: on the terminal, as Markdown, as JSON, as a page."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rereader.cli.console import notes, output, print_json
from rereader.cli.display import show_answer, show_run
from rereader.cli.markdown import markdown as as_markdown
from rereader.cli.page import file_links, page
from rereader.cli.report import Report, make_report
from rereader.memory.library import Library
from rereader.models.files import write_private
from rereader.runs.so_far import so_far_fields
from rereader.schema import InputError, ModelError


def check_forms(*, json: bool, markdown: bool, html: Path | None) -> None:
    """Refuse forms of output that cannot be had, before any work is done."""
    if json and markdown:
        raise InputError("--json and --markdown cannot be had together.", "Choose one of them.")
    if html is not None and html.is_dir():
        raise InputError(f"{html} is a folder.", "Give --html the name of a file.")
    if html is not None and not html.parent.is_dir():
        raise InputError(f"There is no folder {html.parent}.", "Make it first, or choose another for --html.")
    if html is not None and not os.access(html if html.exists() else html.parent, os.W_OK):
        raise InputError(f"{html} cannot be written.", "Choose another file for --html.")


def show_report(report: Report, *, steps: bool, json: bool, markdown: bool) -> None:
    """Print a run's answer, or what it has found so far; ``steps`` prints each step too, unless as JSON."""
    if json and report.answer is not None:
        print_json(report.answer.model_dump(mode="json"))
    elif json:
        print_json(so_far_fields(report.run, report.found))
    elif markdown:
        sys.stdout.write(as_markdown(report if steps else replace(report, steps=())) + "\n")
    elif steps:
        show_run(report)
    else:
        show_answer(report)


@contextmanager
def found_shown(library: Library, *, json: bool, markdown: bool = False, html: Path | None = None) -> Iterator[None]:
    """Show what a run has found that a model's failure ends; the failure goes on, to be told in one line."""
    try:
        yield
    except ModelError as error:
        if error.run_id:
            report = make_report(library, library.runs.get(error.run_id))
            show_report(report, steps=False, json=json, markdown=markdown)
            write_page(report, html)
        raise


def write_page(report: Report, html: Path | None) -> None:
    """Write the page of a run's answer, if one is asked for."""
    if html is not None:
        write_file(page(report), html)


def write_file(text: str, path: Path) -> None:
    """Write a page, which quotes documents, to a file that its user alone may read, and say so."""
    write_private(path, text)
    notes().print(f"Wrote {path}.", markup=False)


def open_page(library: Library, report: Report, quote: int | None, *, only_print: bool) -> None:
    """Write the page of a run into the workspace and open it in the user's browser, at a quote if one is named.

    Raises:
        InputError: If the run has no such quote.
    """
    anchor = f"#quote-{report.note(quote).number}" if quote is not None else ""
    path = library.page_path(report.run.id)
    write_private(path, page(report, file_links(report), quote or 0))
    if only_print:
        output().print(str(path), markup=False)
        return
    if not (has_screen() and webbrowser.open(path.as_uri() + anchor)):
        notes().print("No browser could be opened here; the page is in this file:", markup=False)
        output().print(str(path), markup=False)


def has_screen() -> bool:
    """Whether a browser window can appear; without a screen Python would start a text browser, or none."""
    wanted = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in wanted)
