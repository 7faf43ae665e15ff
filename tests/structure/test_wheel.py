"""The wheel holds every module and data file, under rereader/ and nowhere else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

FOLDERS = ("agents", "graphs", "tools", "prompts", "memory")
DATA = ("py.typed", "*.md", "*.toml", "licences/*", "page/*", "*.html", "*.css", "*.js")


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from the sources as they are."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [root / "scripts" / "wheel", out],
        check=True,
        env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"},
        timeout=240,
    )
    (path,) = out.glob("rereader-*.whl")
    return zipfile.ZipFile(path)


def expected(root: Path, *patterns: str) -> set[str]:
    """Names in the wheel of the source files that match."""
    homes = {root / name: f"rereader/{name}" for name in FOLDERS} | {root / "src" / "rereader": "rereader"}
    return {
        f"{prefix}/{path.relative_to(home).as_posix()}"
        for home, prefix in homes.items()
        for pattern in patterns
        for path in home.rglob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_every_module_is_inside_and_nothing_else(wheel: zipfile.ZipFile, root: Path) -> None:
    inside = {name for name in wheel.namelist() if name.endswith(".py")}
    assert inside == expected(root, "*.py")


def test_every_data_file_is_inside(wheel: zipfile.ZipFile, root: Path) -> None:
    wanted = expected(root, *DATA)
    assert "rereader/py.typed" in wanted
    assert wanted - set(wheel.namelist()) == set()


def test_only_one_import_name(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"rereader"}


def test_metadata_names_licence_command_and_extras(wheel: zipfile.ZipFile) -> None:
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    folder = metadata.rpartition("/")[0]
    text = wheel.read(metadata).decode()
    assert f"{folder}/licenses/LICENSE" in wheel.namelist()
    assert "rereader = rereader.cli.entry:main" in wheel.read(f"{folder}/entry_points.txt").decode()
    assert "License-Expression: Apache-2.0" in text
    for extra in ("local", "documents", "serve", "mcp", "bench", "train", "dev", "all"):
        assert f"Provides-Extra: {extra}\n" in text
