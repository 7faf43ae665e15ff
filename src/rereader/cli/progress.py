"""Live progress of a run on standard error: stage, n of N, tokens per second, time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from rereader.cli.console import notes
from rereader.schema import Event
from rereader.schema import Progress as Report
from rereader.schema.events import Listener

_LOG_SECONDS = 10.0


@contextmanager
def listener(*, quiet: bool) -> Iterator[Callable[[Event], None]]:
    """What a session's events are shown with; ``quiet`` shows warnings only."""
    console = notes()
    if quiet:
        yield lambda event: _warn(console.print, event)
        return
    if not console.is_terminal:
        yield _plain(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, console=console, transient=True) as bars:
        shown: dict[str, TaskID] = {}

        def listen(event: Event) -> None:
            _warn(bars.console.print, event)
            if event.kind == "step":
                _start(bars, shown, event.node)
            elif event.progress:
                _advance(bars, shown, event.progress)

        yield listen


@contextmanager
def progress_shown(*, quiet: bool) -> Iterator[Listener]:
    """What work that is no run tells its progress to."""
    with listener(quiet=quiet) as listen:
        yield lambda report: listen(Event("progress", "", progress=report))


def _plain(console: Console) -> Callable[[Event], None]:
    """For logs: a line now and then instead of a moving bar."""
    last = time.monotonic()

    def listen(event: Event) -> None:
        nonlocal last
        _warn(console.print, event)
        if event.progress and time.monotonic() - last >= _LOG_SECONDS:
            last = time.monotonic()
            parts = (event.progress.stage, describe(event.progress))
            console.print(": ".join(part for part in parts if part), markup=False)

    return listen


def _warn(show: Callable[..., None], event: Event) -> None:
    if event.kind == "warning":
        show(f"note: {event.text}", markup=False)


def _start(bars: Progress, shown: dict[str, TaskID], name: str) -> None:
    for task in shown.values():
        bars.remove_task(task)
    shown.clear()
    shown[name] = bars.add_task(name, total=None, rate="")


def _advance(bars: Progress, shown: dict[str, TaskID], report: Report) -> None:
    if report.stage not in shown:
        shown[report.stage] = bars.add_task(report.stage, rate="")
    bars.update(shown[report.stage], completed=report.done, total=report.total, rate=describe(report))


def describe(report: Report) -> str:
    """For instance ``128/400 · 1,900 tokens/s · 1:05 left``."""
    parts = [f"{report.done:,}/{report.total:,}"] if report.total > 1 else []  # of one thing it is either or
    if report.tokens and report.seconds > 0:
        parts.append(f"{report.tokens_per_second:,.0f} tokens/s")
    if report.eta_seconds is not None and report.done < report.total:
        minutes, seconds = divmod(round(report.eta_seconds), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    return " · ".join(parts)
