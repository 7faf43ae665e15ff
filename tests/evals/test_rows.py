import json
from pathlib import Path

import pytest

from rereader.evals.rows import ResultsFile, hash_settings, read_rows, results, row_key
from rereader.schema.errors import StoreError


def result(item: str, settings_hash: str = "h", **more: object) -> dict[str, object]:
    key = {"benchmark": "toy", "split": "dev", "seed": 0, "item": item, "system": "a", "settings_hash": settings_hash}
    return {**key, **more}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = ResultsFile(tmp_path / "deep" / "rows.jsonl")
    file.begin({"commit": "c", "date": "monday"})
    file.add(result("one"))
    file.add(result("two", text="caf\u00e9\u2028\n"))
    return file.path


def test_rows_come_back_as_they_were_written(path: Path) -> None:
    rows = read_rows(path)
    assert [row["row"] for row in rows] == ["environment", "result", "result"]
    assert rows[2]["text"] == "caf\u00e9\u2028\n"
    file = ResultsFile(path)
    assert row_key(result("one")) in file
    assert row_key(result("one", "other")) not in file
    assert row_key(result("three")) not in file


def test_a_line_cut_anywhere_is_dropped_and_nothing_else(path: Path) -> None:
    whole = path.read_bytes()
    start = whole.rfind(b"\n", 0, -1) + 1
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        assert len(read_rows(path)) == 2
        file = ResultsFile(path)
        assert path.read_bytes() == whole[:start]
        assert row_key(result("one")) in file
        assert row_key(result("two")) not in file
    path.write_bytes(whole)
    ResultsFile(path)
    assert path.read_bytes() == whole


def test_a_last_line_of_zeros_is_dropped(path: Path) -> None:
    """What a crash of the machine can leave: the file grew, its blocks were never written."""
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" * 40 + b"\n")
    ResultsFile(path)
    assert path.read_bytes() == whole


def test_damage_before_the_end_is_an_error(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"row": \n' + lines[2])
    with pytest.raises(StoreError, match="line 2"):
        ResultsFile(path)
    path.write_text("[1]\n" + json.dumps({"row": "result"}) + "\n")
    with pytest.raises(StoreError, match="line 1"):
        read_rows(path)


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Cannot read"):
        read_rows(tmp_path / "gone.jsonl")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="Cannot write"):
        ResultsFile(tmp_path / "file" / "rows.jsonl")
    with pytest.raises(StoreError, match="Cannot write"):
        ResultsFile(tmp_path)


def test_the_environment_is_written_again_only_when_it_differs(path: Path) -> None:
    ResultsFile(path).begin({"commit": "c", "date": "tuesday"})
    assert sum(row["row"] == "environment" for row in read_rows(path)) == 1
    ResultsFile(path).begin({"commit": "d", "date": "tuesday"})
    assert sum(row["row"] == "environment" for row in read_rows(path)) == 2


def test_a_report_sees_the_last_settings_and_each_result_once() -> None:
    rows = [result("one", "old", x=1), result("two", "old", x=2), result("one", "new", x=3), result("one", "new", x=4)]
    found = results([{"row": "environment"}, *({"row": "result", **row} for row in rows)])
    assert [row["x"] for row in found] == [4]


def test_the_settings_hash_ignores_order() -> None:
    assert hash_settings({"a": 1, "b": {"c": 2, "d": 3}}) == hash_settings({"b": {"d": 3, "c": 2}, "a": 1})
    assert hash_settings({"a": 1}) != hash_settings({"a": 2})


def test_a_failed_call_is_measured_again(path: Path) -> None:
    file = ResultsFile(path)
    file.add(result("three", status="failed"))
    assert row_key(result("three")) not in ResultsFile(path)
    file.add(result("three", status="answered"))
    assert row_key(result("three")) in ResultsFile(path)
    assert [row["status"] for row in results(read_rows(path)) if row["item"] == "three"] == ["answered"]
