from pathlib import Path

import huggingface_hub
import pytest

from rereader.models.hub import download, from_cache, is_hub_id
from rereader.models.installed import locate
from rereader.schema.errors import InputError, ModelError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache with one model."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    home = tmp_path / "models--some--model"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("a" * 40)
    snapshot = home / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    return snapshot


@pytest.mark.parametrize(
    ("name", "expected"),
    [("some/model", True), ("Org.x/Model-1.5B", True), ("tiny", False), ("./some/model", False), ("/a/b", False),
     ("~/models", False), ("a/b/c", False), ("some/model.gguf", False), ("openai:a/b", False)],
)  # fmt: skip
def test_hub_ids_are_told_from_paths(name: str, expected: bool) -> None:
    assert is_hub_id(name) is expected


def test_a_folder_of_that_name_goes_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not is_hub_id("some/model")


def test_a_downloaded_model_is_found_without_a_network(cache: Path, tmp_path: Path) -> None:
    assert from_cache("some/model") == locate("some/model", tmp_path) == cache


def test_one_that_was_not_downloaded_is_one_plain_error(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of that hub id") as caught:
        locate("some/other", tmp_path)
    assert "rereader models pull some/other" in caught.value.hint


def test_a_download_that_fails_is_one_plain_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_settings: object) -> str:
        raise ConnectionError("no route\nto anywhere")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ModelError, match="cannot be downloaded: no route") as caught:
        download("some/other")
    assert "\n" not in str(caught.value)
