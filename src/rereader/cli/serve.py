"""``rereader serve``."""

from __future__ import annotations

import os
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from rereader.cli import options
from rereader.cli.console import notes, output, print_json
from rereader.cli.showing import has_screen
from rereader.schema import MissingExtra

if TYPE_CHECKING:
    from rereader.server.backend import Backend
    from rereader.server.listening import Listening

_PORT = 8765
_PACKAGES = ("fastapi", "starlette", "uvicorn")


def serve(
    host: Annotated[str, typer.Option(help="The address of this machine to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes any that is free.")] = _PORT,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Let other machines in, where --host is not this machine alone.")
    ] = False,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = False,
    model: options.Model = None,
    base_url: options.BaseUrl = None,
    api_key_env: options.ApiKeyEnv = None,
    runtime: options.Runtime = None,
    role: options.Role = None,
    workspace: options.Workspace = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Serve a page on this machine: ask, watch runs live, go through a run's steps, fork and compare.

    The address that is printed holds a key, which is new at every start unless REREADER_TOKEN says one. Ctrl-C stops
    the server; a run that is at work stops at its next token and can be resumed.

    For example:

    rereader serve

    rereader serve --port 0 --open

    rereader serve --model qwen2.5-coder-0.5b --json
    """
    try:
        from rereader.server.allocator import share_pools
        from rereader.server.backend import Backend
        from rereader.server.listening import Server, listen, new_token
        from rereader.server.sessions import session_opener
        from rereader.server.wanted import Wanted
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _PACKAGES:
            raise
        raise MissingExtra("The page", "serve") from error

    share_pools()
    config = options.configuration(workspace)
    names, warnings = options.role_names(config, model, role, base_url, api_key_env)
    open_session = session_opener(config, names, runtime, warnings)
    with open_session(Wanted(names)):
        pass  # a model that cannot be used is said now, not when the first question is asked
    listening = listen(host, port, new_token(os.environ), allow_remote=allow_remote)
    backend = Backend(config, names, open_session)
    _announce(listening, browser=browser, json=json, quiet=quiet)
    Server(backend, listening).serve_until_stopped()
    _tell_stopped(backend)


def _announce(listening: Listening, *, browser: bool, json: bool, quiet: bool) -> None:
    if json:
        print_json({"url": listening.url, "token": listening.rules.token, "port": listening.rules.port})
    else:
        output().print(listening.url, markup=False)
    if not quiet:
        notes().print("Open this address in a browser on this machine. Ctrl-C stops the server.", markup=False)
    if browser and not (has_screen() and webbrowser.open(listening.url)):
        notes().print("No browser could be opened here.", markup=False)


def _tell_stopped(backend: Backend) -> None:
    """Say what the end of the server stopped: a run can be resumed, what only waited has to be asked again."""
    for job in backend.desk.cut_short():
        if job["run"]:
            notes().print(f"Stopped. Go on with: rereader runs resume {job['run']}", markup=False)
        else:
            notes().print(f"Not begun: {job['kind']} {job['question']!r}", markup=False)
