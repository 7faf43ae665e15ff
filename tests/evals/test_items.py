from pathlib import Path

import pytest

from rereader.evals.data import data_folder, hash_files, read_lines, read_text
from rereader.evals.items import benchmark, load_benchmark
from rereader.evals.suite import load_suite, suite_names
from rereader.schema.errors import InputError


def test_a_registered_benchmark_is_built_with_its_options(tmp_path: Path) -> None:
    @benchmark("toy_of_this_test")
    class Toy:
        name = "toy_of_this_test"

        def __init__(self, data, options) -> None:
            self.made_with = (data, options)

    assert load_benchmark("toy_of_this_test", tmp_path, {"n": 1}).made_with == (tmp_path, {"n": 1})  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["nothing", "report", "../items", ""])
def test_an_unknown_benchmark_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no benchmark"):
        load_benchmark(name, tmp_path, {})


@pytest.mark.parametrize("name", ["needles", "books"])
def test_wrong_options_are_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sizee"):
        load_benchmark(name, tmp_path, {"sizee": 1})


def test_the_data_folder_must_be_there(tmp_path: Path) -> None:
    assert data_folder({"REREADER_DATA": str(tmp_path)}) == tmp_path
    with pytest.raises(InputError, match="not set"):
        data_folder({})
    with pytest.raises(InputError, match="no folder"):
        data_folder({"REREADER_DATA": str(tmp_path / "gone")})


def test_texts_are_normalised_and_hashed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\n")
    (tmp_path / "b.jsonl").write_bytes(b'{"x": 1}\n\n{"x": 2}\n')
    assert read_text(tmp_path / "a.txt") == "one\ntwo\n"
    assert read_lines(tmp_path / "b.jsonl") == [{"x": 1}, {"x": 2}]
    paths = [tmp_path / "a.txt", tmp_path / "b.jsonl"]
    before = hash_files(paths)
    assert before == hash_files(reversed(paths))
    (tmp_path / "a.txt").write_bytes(b"other")
    assert hash_files(paths) != before
    with pytest.raises(InputError, match=r"gone\.txt"):
        read_text(tmp_path / "gone.txt")


def test_packaged_suites_hold_the_systems_to_compare() -> None:
    assert {"needles", "books"} <= set(suite_names())
    for name in ("needles", "books"):
        suite = load_suite(name)
        systems = {system.name: system for system in suite.chosen()}
        assert suite.benchmark == name
        assert systems["no-context"].settings["context"] == "none"
        assert systems["bm25"].settings["ranker"] == "bm25"
        assert {system.settings["evidence_words"] for system in systems.values()} == {300}
        assert {"embedding", "retrieval", "memory-extract", "memory-raw"} <= set(systems)


SUITE = """
benchmark = "toy"
[settings]
words = 3
[[systems]]
name = "a"
graph = "g"
[[systems]]
name = "b"
graph = "g"
settings = { words = 4 }
"""


def test_a_suite_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SUITE)
    suite = load_suite(str(path))
    assert suite.name == "mine"
    assert [dict(system.settings) for system in suite.chosen()] == [{"words": 3}, {"words": 4}]
    assert [system.name for system in suite.chosen(["b"])] == ["b"]
    with pytest.raises(InputError, match="no system 'c'"):
        suite.chosen(["c"])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("benchmark = ", "not TOML"),
        ('benchmark = "toy"', "systems"),
        (SUITE + "colour = 1", "colour"),
        (SUITE.replace('"b"', '"a"'), "one name to two"),
        (SUITE.replace('"toy"', '"toy"\nsplit = "train"'), "split"),
    ],
)
def test_a_faulty_suite_is_refused(content: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(InputError, match=fault):
        load_suite(str(path))


@pytest.mark.parametrize("name", ["nothing", "gone.toml", "../suite"])
def test_a_missing_suite_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="There is no suite"):
        load_suite(name)
