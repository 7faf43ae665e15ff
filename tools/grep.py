"""Finds a regular expression that a model wrote: in a process of its own, which is ended when it takes too long.

Python's ``re`` may take exponential time and cannot be stopped from inside.
"""

from __future__ import annotations

import json
import subprocess
import sys

from rereader.schema import InputError

MOST_CHARACTERS = 200
"""Of a pattern."""
_SECONDS = 5.0
_SEARCH = """
import itertools, json, re, sys
given = json.load(sys.stdin)
try:
    found = re.compile(given["pattern"], re.IGNORECASE).finditer(given["text"])
    print(json.dumps([match.span() for match in itertools.islice(found, given["most"])]))
except Exception as error:
    print(json.dumps(str(error)))
"""


def grep(pattern: str, text: str, most: int, seconds: float = _SECONDS) -> list[tuple[int, int]]:
    """Places ``[start, end)`` of the first ``most`` matches; upper and lower case are the same.

    Raises:
        InputError: If the pattern is too long, is no regular expression, or takes longer than ``seconds``.
    """
    if len(pattern) > MOST_CHARACTERS:
        raise InputError(f"A pattern has at most {MOST_CHARACTERS} characters.", "Search for words instead.")
    given = json.dumps({"pattern": pattern, "text": text, "most": most})
    command = [sys.executable, "-I", "-S", "-c", _SEARCH]
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError("The pattern takes too long.", "Search for words instead.") from error
    found = json.loads(done.stdout) if done.returncode == 0 else "it needs too much memory"
    if isinstance(found, str):
        raise InputError(f"The pattern cannot be used: {found}.", "Search for words instead.")
    return [(start, end) for start, end in found]
