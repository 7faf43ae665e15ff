"""``rereader models heads``."""

import gzip
import json

import pytest
from local_models import save_tiny

from rereader.models.headlist import published_heads


@pytest.fixture
def folder(tmp_path, capsys):
    """A tiny model that is a folder of the user's."""
    path = save_tiny(tmp_path / "mine", "qwen2", seed=5)
    capsys.readouterr()  # its progress bars
    return path


@pytest.fixture
def questions(tmp_path, monkeypatch):
    rows = [
        {
            "id": f"q{number}",
            "type": "bridge",
            "question": f"Who keeps the bees of field {number}?",
            "supporting_facts": [["Bees", 1]],
            "paragraphs": [{"title": "Bees", "sentences": ["Bees fly.", f"Ana keeps field {number}.", ""]}],
        }
        for number in range(20)
    ]
    (tmp_path / "data" / "multihop").mkdir(parents=True)
    lines = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "data" / "multihop" / "hotpotqa.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    monkeypatch.setenv("REREADER_DATA", str(tmp_path / "data"))


def test_published_heads_are_shown_without_the_model(command):
    code, out, err = command("models", "heads", "tiny")
    assert code == 0 and out.startswith("18-6 21-8 ") and "the catalogue" in err
    found = json.loads(command("models", "heads", "tiny", "--json")[1])
    assert found["model"] == "tiny" and found["heads"][0] == [18, 6]


def test_lists_of_the_hubs_models_are_shown_with_their_source(command):
    for name in ("Qwen/Qwen3-4B", "Qwen/Qwen3-4B (8-bit)"):
        code, out, err = command("models", "heads", name)
        assert code == 0 and out.startswith("20-15 21-18 ") and "2607.02509" in err
    for heads, source in published_heads().values():
        assert len(set(heads)) == len(heads) == 16 and "arXiv" in source


def test_the_command_that_is_named_can_be_copied_whatever_the_folder_is_called(command, folder, tmp_path):
    spaced = tmp_path / "my models"
    spaced.symlink_to(folder)
    code, _, err = command("models", "heads", spaced)
    assert code == 2 and f"Run: rereader models heads '{spaced}' --detect hotpotqa" in err


def test_found_heads_come_into_use(command, folder, questions):
    code, _, err = command("models", "heads", folder)
    assert code == 2 and "--detect" in err and len(err.splitlines()) == 1
    code, out, err = command("models", "heads", folder, "--detect", "hotpotqa", "--items", "4", "--quiet")
    assert code == 0, err
    assert "found on 4 questions of hotpotqa" in err
    code, again, err = command("models", "heads", folder)
    assert (code, again) == (0, out) and "on this machine" in err


def test_heads_are_compared_with_other_rankings(command, folder, questions, tmp_path):
    out = tmp_path / "rows.jsonl"
    code, _, err = command("bench", "sentences", "hotpotqa", "--model", folder, "--out", out)
    assert code == 2 and "--detect" in err
    found = tmp_path / "heads.json"
    command("models", "heads", folder, "--detect", "hotpotqa", "--items", "4", "--quiet", "--out", found)
    given = ("bench", "sentences", "hotpotqa", "--model", folder, "--out", out, "--heads")
    code, said, _ = command(*given, f"mine={found}", "--items", "3")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert code == 0 and f"{len(rows) - 1} rows written" in said
    assert {row["item"] for row in rows[1:]} and rows[0]["heads"]["mine"]
    assert "0 rows written" in command(*given, f"mine={found}", "--items", "3")[1]
    code, table, _ = command("bench", "report", out)
    assert code == 0 and "| heads mine | 3 |" in table and "difference from bm25" in table
    (tmp_path / "none.json").write_text('{"heads": []}')
    (tmp_path / "other.json").write_text('{"heads": [[30, 2]]}')
    for pair, words in (
        (f"mine={out}", "no list of heads"),
        (f"mine={tmp_path / 'none.json'}", "no list of heads"),
        (f"mine={tmp_path / 'other.json'}", "names the head 30-2"),
        ("mine", "NAME=FILE"),
    ):
        code, _, err = command(*given, pair)
        assert code == 2 and words in err.splitlines()[-1] and "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere"),
        (["tiny", "--detect", "hotpotqa"], "REREADER_DATA"),
        (["tiny", "--detect", "squad"], "squad"),
    ],
)
def test_bad_input_gets_one_line(command, arguments, words, monkeypatch, tmp_path):
    monkeypatch.delenv("REREADER_DATA", raising=False)
    if "squad" in arguments:
        monkeypatch.setenv("REREADER_DATA", str(tmp_path))
    code, out, err = command("models", "heads", *arguments)
    assert (code, out, words in err) == (2, "", True)
    assert len(err.splitlines()) == 1
