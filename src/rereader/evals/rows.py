"""The results file: JSON lines, appended and flushed one by one, so that a kill loses at most the line being written.

A line is an ``environment`` (first, and again whenever a run continues under another one) or a ``result``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from rereader.schema.errors import InputError, StoreError

RESULTS = Path("docs/results")
"""Where raw rows lie in a checkout."""
Row = dict[str, Any]
RowKey = tuple[str, str, int, str, str, str]


FAILED = "failed"
"""Status of a row whose call failed: it counts as wrong, and is measured again by the next run."""


def results_path(out: Path | None, name: str) -> Path:
    """The file that rows go to: ``out``, or ``NAME.jsonl`` among the raw rows of the checkout that one stands in.

    Raises:
        InputError: If neither is there.
    """
    if out is None and not RESULTS.is_dir():
        raise InputError(f"There is no folder {RESULTS} here for the rows.", "Name a file for them with --out.")
    return out or RESULTS / f"{name}.jsonl"


def row_key(row: Mapping[str, Any]) -> RowKey:
    """What a result is about: benchmark, split, seed, item, system and settings hash."""
    names = ("benchmark", "split", "seed", "item", "system", "settings_hash")
    benchmark, split, seed, item, system, settings_hash = (row[name] for name in names)
    return benchmark, split, seed, item, system, settings_hash


def hash_settings(settings: Mapping[str, Any]) -> str:
    """A short sha256 of JSON-plain settings, whatever their order."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]


def read_rows(path: Path) -> list[Row]:
    """All rows of a results file; a last line that was cut off is left out.

    Raises:
        StoreError: If the file cannot be read, or another line is damaged.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise StoreError(f"Cannot read the results {path}: {error.strerror}.", "Check the path.") from error
    return _parse(path, raw[: _sound_length(raw)])


class ResultsFile:
    """Appends rows; remembers which are there.

    Opening drops a last line that was cut off by a kill.

    Raises:
        StoreError: If the file cannot be written, or is damaged before its end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = self._mend()
        except OSError as error:
            raise _unwritable(path, error) from error
        self._done = {row_key(row) for row in rows if row["row"] == "result" and row.get("status") != FAILED}
        environments = [row for row in rows if row["row"] == "environment"]
        self._environment = environments[-1] if environments else None

    def __contains__(self, key: RowKey) -> bool:
        return key in self._done

    def older(self, keys: Collection[RowKey]) -> int:
        """Rows that are about the same as some of ``keys``, but were measured with other settings, data or models."""
        wanted = {key[:-1] for key in keys}
        return sum(key[:-1] in wanted and key not in keys for key in self._done)

    def begin(self, environment: Mapping[str, Any]) -> None:
        """Write the environment, unless the file's last one differs in nothing but the date."""
        row = {"row": "environment", **environment}
        if self._environment is None or _undated(self._environment) != _undated(_plain(row)):
            self._append(row)
            self._environment = row

    def add(self, result: Mapping[str, Any]) -> None:
        """Write one result."""
        self._append({"row": "result", **result})
        self._done.add(row_key(result))

    def _append(self, row: Mapping[str, Any]) -> None:
        line = json.dumps(row, ensure_ascii=False, default=str) + "\n"
        try:
            with self.path.open("ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def _mend(self) -> list[Row]:
        if not self.path.exists():
            return []
        raw = self.path.read_bytes()
        sound = _sound_length(raw)
        rows = _parse(self.path, raw[:sound])
        if sound < len(raw):
            with self.path.open("r+b") as file:
                file.truncate(sound)
        return rows


def results(rows: Iterable[Row]) -> list[Row]:
    """The result rows to report, in order: of each system only those of its last settings, the last one of each key."""
    found = [row for row in rows if row["row"] == "result"]
    last = {(row["benchmark"], row["split"], row["system"]): row["settings_hash"] for row in found}
    kept = [row for row in found if last[row["benchmark"], row["split"], row["system"]] == row["settings_hash"]]
    return list({row_key(row): row for row in kept}.values())


def _sound_length(raw: bytes) -> int:
    """Bytes up to the end of the last whole line."""
    end = raw.rfind(b"\n") + 1
    start = raw.rfind(b"\n", 0, end - 1) + 1 if end else 0
    try:
        json.loads(raw[start:end] or b"{}")
    except ValueError:
        return start
    return end


def _parse(path: Path, raw: bytes) -> list[Row]:
    rows = []
    for number, line in enumerate(raw.splitlines(), 1):
        try:
            row = json.loads(line)
            if row["row"] == "result":
                row_key(row)
            rows.append(row)
        except (ValueError, TypeError, KeyError) as error:
            hint = "Remove that line, or write to another file with --out."
            raise StoreError(f"{path} is no results file: line {number} is not a row.", hint) from error
    return rows


def _undated(row: Mapping[str, Any]) -> Row:
    return {name: value for name, value in row.items() if name != "date"}


def _plain(row: Mapping[str, Any]) -> Row:
    return dict(json.loads(json.dumps(row, default=str)))


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"Cannot write the results {path}: {error.strerror}.", "Choose another file with --out.")
