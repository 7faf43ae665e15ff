"""``rereader gc``."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from rereader.cli import options
from rereader.cli.console import agreed, notes, output, print_json
from rereader.cli.progress import progress_shown
from rereader.memory.block_files import size_text
from rereader.memory.care.collecting import KINDS, Kind, Plan, Wanted, make_plan, workspace_bytes
from rereader.memory.care.sweeping import sweep
from rereader.memory.library import Library
from rereader.memory.locks import caring
from rereader.schema import InputError
from rereader.schema.wording import counted

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_DAY = 86_400.0
_NAMES = {
    "leftovers": ("leftover, and unused room in the library", "leftovers, and unused room in the library"),
    "runs": ("run", "runs"),
    "texts": ("kept text", "kept texts"),
    "blocks": ("compressed memory", "compressed memories"),
    "calls": ("cached reply", "cached replies"),
}
_OVER = 1
_NOTHING = "Nothing was deleted."


def gc(
    older_than: Annotated[
        float | None, typer.Option("--older-than", help="Runs not touched for so many days go.", metavar="DAYS")
    ] = None,
    keep_last: Annotated[
        int | None, typer.Option("--keep-last", help="So many newest runs stay; with no --older-than, all others go.")
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(help="What can be made again goes until the workspace has this size: 20GB.", metavar="SIZE"),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help=f"Let go of a kind whole: {', '.join(KINDS)}; may be repeated.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before runs are deleted.")] = False,
    workspace: options.Workspace = None,
    json: options.Json = False,
) -> int:
    """Tidy the workspace: leftovers go; runs and what can be made again go as far as you ask for it.

    A run at work is never touched, nor one that a run which stays follows or was forked from. Of a run that goes a
    tombstone stays. With --max-size go kept texts, then compressed memories, then cached replies: memories that were
    used longest ago first, texts and replies that were made longest ago first. Exits with 1 if the workspace is still
    larger than that.

    For example:

    rereader gc --dry-run --older-than 90

    rereader gc --older-than 30 --keep-last 20

    rereader gc --max-size 10GB

    rereader gc --drop calls
    """
    wanted = _wanted(older_than, keep_last, max_size, drop or [])
    config = options.existing(workspace)
    with Library(config.workspace, config.kv_bytes) as library:
        going = None if dry_run or yes else make_plan(library, wanted).runs
        if going and not agreed(f"Delete {counted(len(going), 'run')}?", _NOTHING):
            notes().print(_NOTHING, markup=False)
            return 0
        with caring(config.workspace):
            # Others may have begun, used or forked runs since the user was asked.
            plan = make_plan(library, wanted, going)
            done = [] if dry_run else _carry_out(library, plan)
            after = plan.size if dry_run else workspace_bytes(library)
    over = plan.over if dry_run else max(0, after - (wanted.max_bytes or after))
    _show(plan, done, after, over, dry_run=dry_run, json=json)
    return _OVER if over else 0


def _wanted(older_than: float | None, keep_last: int | None, max_size: str | None, drop: list[str]) -> Wanted:
    if (older_than or 0) < 0 or (keep_last or 0) < 0:
        raise InputError("--older-than and --keep-last are not below 0.", "Give days, or a number of runs.")
    unknown = [name for name in drop if name not in KINDS]
    if unknown:
        raise InputError(f"There is no kind {unknown[0]!r} to drop.", f"Choose among {', '.join(KINDS)}.")
    kinds: frozenset[Kind] = frozenset(kind for kind in KINDS if kind in drop)
    seconds = None if older_than is None else older_than * _DAY
    return Wanted(seconds, keep_last, None if max_size is None else parse_size(max_size), kinds)


def parse_size(text: str) -> int:
    """Bytes of ``500MB``, ``1.5 GiB`` or a plain number.

    Raises:
        InputError: If it is none of these.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower(), re.ASCII)
    if found is None or found[2] not in _UNITS:
        raise InputError(f"{text!r} is no size.", "Write it like 500MB, 20GB or 2GiB.")
    return int(float(found[1]) * _UNITS[found[2]])


def _carry_out(library: Library, plan: Plan) -> list[str]:
    with progress_shown(quiet=False) as listen:
        return sweep(library, plan, listen)


def _show(plan: Plan, done: list[str], after: int, over: int, *, dry_run: bool, json: bool) -> None:
    if json:
        fields: dict[str, Any] = {"dry_run": dry_run, "goes": plan.counts(), "bytes": plan.bytes, "runs": plan.runs}
        print_json({**fields, "stay": plan.kept, "before": plan.size, "after": after, "over": over, "notes": done})
        return
    if not plan.counts():
        output().print("There is nothing to delete.", markup=False)
    for kind, count in plan.counts().items():
        about = f"about {size_text(plan.bytes[kind])}"
        told = f"{'would go' if dry_run else 'gone'}: {counted(count, *_NAMES[kind])}, {about}"
        output().print(told, markup=False)
    if plan.kept:
        runs = counted(len(plan.kept), "run is", "runs are")
        told = f"{runs} old enough and not deleted: at work, or needed by a run that stays"
        notes().print(told, markup=False)
    for text in done:
        notes().print(f"note: {text}", markup=False)
    now = f"about {size_text(plan.size - plan.freed)} afterwards" if dry_run else f"{size_text(after)} now"
    output().print(f"{size_text(plan.size)} before, {now}", markup=False)
    if over:
        hint = "What is left is documents and runs; see --older-than, --keep-last and 'rereader remove'."
        notes().print(f"note: {size_text(over)} more than --max-size. {hint}", markup=False)
