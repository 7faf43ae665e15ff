"""Entry point: commands are named here, and every error becomes one clear line and an exit code."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from rereader import __version__
from rereader.cli.console import complain
from rereader.schema import RereaderError

_COMMANDS = {
    "ask": "rereader.cli.ask:ask",
    "compare": "rereader.cli.compare:compare",
    "add": "rereader.cli.documents:add",
    "documents": "rereader.cli.documents:list_documents",
    "remove": "rereader.cli.documents:remove",
    "estimate": "rereader.cli.estimating:estimate",
    "doctor": "rereader.cli.doctor:doctor",
    "gc": "rereader.cli.collecting:gc",
    "backup": "rereader.cli.saving:backup",
    "restore": "rereader.cli.saving:restore",
    "serve": "rereader.cli.serve:serve",
    "mcp": "rereader.cli.mcp:mcp",
    "show": "rereader.cli.show:show",
    "diff": "rereader.cli.diff:diff",
    "fork": "rereader.cli.forking:fork",
    "open": "rereader.cli.show:open_run",
    "blame": "rereader.cli.blame:blame_run",
    "runs": "rereader.cli.runs:app",
    "graphs": "rereader.cli.graphs:app",
    "models": "rereader.cli.models:app",
    "train": "rereader.cli.train:app",
    "config": "rereader.cli.configuration:app",
    "bench": "rereader.evals.cli:bench_app",
}
"""Where each command stands, in the order of the help."""
_UNREAD = 128 + 13
"""128 and the number of SIGPIPE, which Windows does not know by name."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rereader {__version__}")
        raise typer.Exit


def _callback(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Hold the options that stand before a command."""


def application(arguments: Sequence[str] = ()) -> typer.Typer:
    """The command line. Where the arguments name a command, only that one is loaded: all of them take a second."""
    app = typer.Typer(
        name="rereader",
        help="Ask questions about documents too long to read at once, and see how the answer came to be.",
        epilog="Example: rereader ask novel.txt 'Who keeps the bees?'",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_callback)
    for name in arguments[:1] if arguments and arguments[0] in _COMMANDS else _COMMANDS:
        module, _, attribute = _COMMANDS[name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def main() -> None:
    """Run the command line and exit with its code.

    0 answered, 1 internal error, 2 bad input, 3 budget spent, 4 declined, 5 model failed, 130 interrupted. When nobody
    reads the output any more (``| head -1``), it ends as other tools do: quietly, with what a shell says of SIGPIPE.
    """
    try:
        code = run(sys.argv[1:])
        if sys.stdout is not None:
            sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as error:  # typer and rich exit with 1 where nobody reads
        if not isinstance(error, BrokenPipeError) and not isinstance(error.__context__, BrokenPipeError):
            raise
        code = _UNREAD
        # The interpreter writes at its end what is still buffered, and would complain.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code and prints at most one line about what went wrong."""
    try:
        code = application(arguments)(args=arguments, prog_name="rereader", standalone_mode=False)
    except RereaderError as error:
        complain(error.message, error.hint)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        complain("Interrupted.", "Run the same again, or see 'rereader runs list'.")
        return 130
    except BrokenPipeError:
        raise
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
        path = getattr(getattr(error, "ctx", None), "command_path", "rereader")
        complain(f"{describe().rstrip('.')}.", f"See '{path} --help'.")
        return 2
    return code if isinstance(code, int) else 0


def _system_error(error: OSError) -> int:
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
