"""The process of :mod:`rereader.tools.formats.apart`: reads files that come through a pipe, within limits.

A request is a line of JSON and the bytes of a file; an answer is a line of JSON and the text, in UTF-8.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any

import psutil

from rereader.schema.errors import InputError, MissingExtra
from rereader.tools.formats.base import Options, Parsed, broken
from rereader.tools.formats.kinds import load


def main() -> None:
    """Answer requests until there are none."""
    if sys.platform == "linux":
        from rereader.tools.sandbox_lock import lock_writing

        lock_writing()
    while line := sys.stdin.buffer.readline():
        asked = json.loads(line)
        data = sys.stdin.buffer.read(asked["size"])
        answer, text = _read(asked, data)
        sys.stdout.buffer.write(json.dumps({**answer, "size": len(text)}).encode() + b"\n")
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()


def _read(asked: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    limit(asked["memory"], asked["seconds"])
    try:
        return _told(load(asked["kind"], data, asked["name"], Options(**asked["options"])))
    except MissingExtra as error:
        return {"error": "MissingExtra", "feature": error.feature, "extra": error.extra}, b""
    except InputError as error:
        return _refused(error)
    except MemoryError:
        message = f"{asked['name']} takes more than {asked['memory'] / 2**30:,.1f} GiB of memory to unpack."
        return _refused(InputError(message, "Split it and add the parts."))
    except Exception as error:
        return _refused(broken(asked["name"], error))


def _refused(error: InputError) -> tuple[dict[str, Any], bytes]:
    return {"error": type(error).__name__, "message": error.message, "hint": error.hint}, b""


def _told(parsed: Parsed) -> tuple[dict[str, Any], bytes]:
    places = [[place.kind, place.start, place.label] for place in parsed.places]
    answer = {"places": places, "warnings": parsed.warnings, "encoding": parsed.encoding}
    return answer, parsed.text.encode()


def limit(memory: int, seconds: int) -> None:
    """Let this process take so many bytes and seconds more than it has taken; where the system has such limits."""
    try:
        import resource
    except ModuleNotFoundError:
        return
    process = psutil.Process()
    used = process.cpu_times()
    most = {resource.RLIMIT_AS: process.memory_info().vms + memory}
    most[resource.RLIMIT_CPU] = int(used.user + used.system) + 1 + seconds
    for kind, value in most.items():
        with suppress(ValueError, OSError):  # macOS does not limit address space
            resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


if __name__ == "__main__":
    main()
