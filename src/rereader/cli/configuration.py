"""``rereader config``."""

from __future__ import annotations

import typer

from rereader.cli import options
from rereader.cli.console import output, print_json
from rereader.config import config_path, load_config

app = typer.Typer(help="Show the configuration.", no_args_is_help=True)


@app.command()
def show(json: options.Json = False) -> None:
    """Show the settings in force: file, then environment, then defaults.

    For example:

    rereader config show
    """
    values = load_config().model_dump(mode="json")
    if json:
        print_json(values)
        return
    for name, value in values.items():
        output().print(f"{name} = {value}", markup=False)


@app.command()
def path() -> None:
    """Show where the configuration file is looked for.

    For example:

    rereader config path
    """
    output().print(str(config_path()), markup=False)
