import os
import subprocess
import sys
from importlib.abc import MetaPathFinder

import pytest

from rereader.cli import entry


class Impatient(MetaPathFinder):
    """Somebody presses Ctrl-C while the command line is being loaded."""

    def find_spec(self, name, path, target=None):
        if name == "rereader.cli.main":
            raise KeyboardInterrupt
        return


def test_ctrl_c_while_loading_ends_without_a_traceback(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "rereader.cli.main", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Impatient(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "arguments",
    [["models", "list"], ["graphs", "list", "--json"], ["--help"], ["show", "nowhere"]],
    ids=" ".join,
)
def test_a_reader_that_goes_away_ends_it_quietly(tmp_path, arguments):
    read, write = os.pipe()
    os.close(read)
    environment = {**os.environ, "REREADER_MODELS": str(tmp_path), "REREADER_WORKSPACE": str(tmp_path / "workspace")}
    command = [sys.executable, "-m", "rereader", *arguments]
    both = arguments[0] == "show"  # an error goes to the same place with 2>&1
    ended = subprocess.run(
        command, env=environment, stdout=write, stderr=write if both else subprocess.PIPE, timeout=60
    )
    os.close(write)
    assert (ended.returncode, ended.stderr or b"") == (141, b"")
