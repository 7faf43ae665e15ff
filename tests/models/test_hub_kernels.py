"""No import of ours fetches compiled kernels from a model hub."""

import importlib.util
import subprocess
import sys

import pytest

from rereader.models.hub_kernels import no_hub_kernels

WATCH = """
import importlib.util, sys
class Trap:
    def find_spec(self, name, path=None, target=None):
        if name == "kernels":
            raise SystemExit("kernels was imported")
sys.meta_path.insert(0, Trap())
from rereader.models.gatelora import require_peft
require_peft()
assert "bitsandbytes" in sys.modules
"""


def test_the_package_cannot_be_imported_inside_and_is_as_before_afterwards(monkeypatch):
    stand_in = type(sys)("kernels")
    for known in (True, False):
        monkeypatch.setitem(sys.modules, "kernels", stand_in) if known else monkeypatch.delitem(sys.modules, "kernels")
        with no_hub_kernels():
            assert importlib.util.find_spec("kernels") is None
            with pytest.raises(ImportError):
                import kernels  # noqa: F401
        assert sys.modules.get("kernels") is (stand_in if known else None)


def test_loading_adapters_does_not_touch_it():
    pytest.importorskip("bitsandbytes", reason="the extra quantised is not installed")
    pytest.importorskip("peft", reason="the extra train is not installed")
    done = subprocess.run([sys.executable, "-c", WATCH], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
