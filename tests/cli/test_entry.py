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
