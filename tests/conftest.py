"""Fixtures that every test may use. The environment is set here, before any library reads it."""

import os
from collections.abc import Callable
from pathlib import Path

os.environ.pop("REREADER_MODEL", None)
os.environ.pop("REREADER_GRAPHS", None)
os.environ["REREADER_CONFIG"] = os.devnull  # nobody's own settings
os.environ["REREADER_WORKSPACE"] = f"{os.devnull}/none"  # fails loudly; take the fixture `workspace`
os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "2")  # torch and faiss take it up when they are imported

import platformdirs
import pytest
from hypothesis import settings

from rereader.models.catalogue import load_catalogue
from rereader.models.installed import locate

settings.register_profile("rereader", deadline=None)
settings.load_profile("rereader")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of its own, named to the code under test as the workspace."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    monkeypatch.setenv("REREADER_WORKSPACE", str(folder))
    return folder


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of test documents and questions that REREADER_DATA names."""
    named = os.environ.get("REREADER_DATA")
    if not named:
        pytest.skip("REREADER_DATA names no folder of test data")
    folder = Path(named).expanduser().resolve()
    if not folder.is_dir():
        pytest.fail(f"REREADER_DATA names {folder}, which is not a folder")
    return folder


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The folder of pulled models: REREADER_MODELS, or the one that `rereader models pull` writes to."""
    named = os.environ.get("REREADER_MODELS")
    folder = Path(named) if named else platformdirs.user_data_path("rereader", appauthor=False) / "models"
    if not folder.is_dir():
        pytest.skip("no model was pulled; run: rereader models pull")
    return folder


@pytest.fixture(scope="session")
def pulled_model(models_dir: Path) -> Callable[[str], Path]:
    """A function from a catalogue name to the folder of the pulled model; skips when it was not pulled."""

    def find(name: str) -> Path:
        entry = load_catalogue().find(name)
        if not (models_dir / entry.name).is_dir():
            pytest.skip(f"{entry.name} was not pulled; run: rereader models pull {entry.name}")
        return locate(name, models_dir)

    return find
