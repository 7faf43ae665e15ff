"""What models are asked is a snapshot: a prompt changes on purpose, with a new version, or not at all.

After a change: raise the version in the prompt's front matter, then run this file as a program to take a new snapshot.
"""

import json
from importlib import resources
from pathlib import Path

import pytest

from rereader.prompts.loader import load

SNAPSHOT = Path(__file__).with_name("prompts.json")


def names():
    """Every prompt of the package."""
    folder = resources.files("rereader.prompts")
    return sorted(entry.name.removesuffix(".md") for entry in folder.iterdir() if entry.name.endswith(".md"))


def taken():
    """Version and hash of every prompt."""
    return {name: {"version": load(name).version, "sha256": load(name).sha256} for name in names()}


@pytest.mark.parametrize("name", names())
def test_a_prompt_is_as_it_was_or_has_a_new_version(name):
    known = json.loads(SNAPSHOT.read_text(encoding="utf-8")).get(name)
    assert known is not None, "take a snapshot of the new prompt"
    assert taken()[name] == known, "raise the prompt's version and take a new snapshot"


def test_no_prompt_is_gone():
    assert sorted(json.loads(SNAPSHOT.read_text(encoding="utf-8"))) == names()


if __name__ == "__main__":
    before = json.loads(SNAPSHOT.read_text(encoding="utf-8")) if SNAPSHOT.exists() else {}
    now = taken()
    same = [
        n for n, told in now.items() if n in before and before[n] != told and before[n]["version"] >= told["version"]
    ]
    if same:
        raise SystemExit(f"These changed and have no new version: {', '.join(same)}")
    SNAPSHOT.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
