"""Entry point: commands are mounted here, and every error becomes one clear line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from rereader import __version__
from rereader.cli import (
    ask,
    blame,
    compare,
    configuration,
    diff,
    doctor,
    documents,
    estimating,
    forking,
    graphs,
    models,
    runs,
    train,
)
from rereader.cli.console import complain
from rereader.evals.cli import bench_app
from rereader.schema import RereaderError

app = typer.Typer(
    name="rereader",
    help="Ask questions about documents too long to read at once, and see how the answer came to be.",
    epilog="Example: rereader ask novel.txt 'Who keeps the bees?'",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(ask.ask)
app.command()(compare.compare)
app.command()(documents.add)
app.command("documents")(documents.list_documents)
app.command()(documents.remove)
app.command()(estimating.estimate)
app.command()(doctor.doctor)
app.command()(runs.show)
app.command()(diff.diff)
app.command()(forking.fork)
app.command("open")(runs.open_run)
app.command("blame")(blame.blame_run)
runs.app.command("tree")(forking.tree)
app.add_typer(runs.app, name="runs")
app.add_typer(graphs.app, name="graphs")
app.add_typer(models.app, name="models")
app.add_typer(train.app, name="train")
app.add_typer(configuration.app, name="config")
app.add_typer(bench_app, name="bench")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rereader {__version__}")
        raise typer.Exit


@app.callback()
def callback(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Hold the options that stand before a command."""


def main() -> None:
    """Run the command line and exit with its code.

    0 answered, 1 internal error, 2 bad input, 3 budget spent, 4 declined, 5 model failed, 130 interrupted.
    """
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code and prints at most one line about what went wrong."""
    try:
        code = app(args=arguments, prog_name="rereader", standalone_mode=False)
    except RereaderError as error:
        complain(error.message, error.hint)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        complain("Interrupted.", "Run the same again, or see 'rereader runs list'.")
        return 130
    except OSError as error:
        return _system_error(error)
    except Exception as error:
        # Typer's usage errors have no public base class that all its versions share.
        describe: Callable[[], str] | None = getattr(error, "format_message", None)
        if describe is None:
            return _internal_error(error)
        if type(error).__name__ == "NoArgsIsHelpError":  # its message is the whole help
            typer.echo(describe(), err=True)
            return 2
        complain(describe(), "See 'rereader --help'.")
        return 2
    return code if isinstance(code, int) else 0


def _system_error(error: OSError) -> int:
    if error.errno == errno.EPIPE:
        return 0
    if error.errno == errno.ENOSPC:
        complain("No space left on the device.", "Free some space and run the same again.")
        return 2
    complain(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), "Check the path and its permissions.")
    return 2


def _internal_error(error: Exception) -> int:
    if os.environ.get("REREADER_DEBUG"):
        raise error
    complain(f"Internal error: {type(error).__name__}: {error}", "Set REREADER_DEBUG=1 for the whole story.")
    return 1
