"""A workspace and its backup, made once for each module."""

import pytest
from workspaces import asked

from rereader.memory.care.backup import backup
from rereader.memory.care.depth import unheard
from rereader.memory.library import Library


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A workspace and its backup."""
    folder = tmp_path_factory.mktemp("saved")
    asked(folder / "ws")
    with Library(folder / "ws") as library:
        backup(library, folder / "all.zip", unheard)
    return folder / "ws", folder / "all.zip"
