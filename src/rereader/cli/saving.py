"""``rereader backup`` and ``rereader restore``."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rereader.cli import options
from rereader.cli.console import notes, output, print_json
from rereader.cli.progress import progress_shown
from rereader.memory.block_files import size_text
from rereader.memory.care import backup as saving
from rereader.memory.care import restoring
from rereader.memory.library import Library
from rereader.schema.wording import counted

_LEFT_OUT = 1


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write, for instance rereader.zip.")],
    lean: Annotated[
        bool, typer.Option("--lean", help="Leave out compressed memories and kept texts, which can be made again.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the file if it is there.")] = False,
    workspace: options.Workspace = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Save the workspace in one file, also while other processes write to it.

    The file is written beside, read back and compared before it takes its name; only you may read it. What is damaged
    is left out and named, and the exit code is 1; of a damaged library there is no backup.

    For example:

    rereader backup rereader.zip

    rereader backup --lean --replace ~/backups/rereader.zip
    """
    config = options.existing(workspace)
    with Library(config.workspace, config.kv_bytes) as library, progress_shown(quiet=quiet) as listen:
        saved = saving.backup(library, file, listen, memories=not lean, replace=replace)
    if json:
        print_json({"file": str(file), **asdict(saved)})
    else:
        parts = f"{counted(saved.parts, 'part')} ({size_text(saved.bytes)})"
        output().print(f"Saved {parts} in {file} ({size_text(saved.file_bytes)}).", markup=False)
    for why in saved.left_out.values():
        notes().print(f"note: left out: {why} See 'rereader doctor'.", markup=False)
    return _LEFT_OUT if saved.left_out else 0


def restore(
    file: Annotated[Path, typer.Argument(help="A file that 'rereader backup' has written.")],
    workspace: options.Workspace = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put this in the place of the workspace that is there, then delete that.")
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Bring a workspace back from a backup, into a new or empty folder.

    Every byte is compared with the backup's checksums; the folder appears whole or not at all.

    For example:

    rereader restore rereader.zip --workspace letters

    rereader restore rereader.zip --replace
    """
    folder = options.configuration(workspace).workspace
    with progress_shown(quiet=quiet) as listen:
        made = restoring.restore(file, folder, listen, replace=replace)
    if json:
        print_json({"workspace": str(folder), **made.model_dump(exclude={"parts"}), "parts": len(made.parts)})
        return
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(made.created_at))
    output().print(f"Restored the workspace of {when} ({size_text(made.bytes)}) to {folder}.", markup=False)
