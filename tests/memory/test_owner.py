"""A workspace is its owner's."""

import os
import stat

import pytest

from rereader.memory.library import Library


@pytest.mark.skipif(os.name != "posix", reason="rights are those of POSIX")
def test_the_folder_is_made_for_its_owner_only(tmp_path):
    before = os.umask(0)
    try:
        Library(tmp_path / "ws").database.close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "ws").stat().st_mode) == 0o700
