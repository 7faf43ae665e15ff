"""Messages lose the paths of the machine and nothing else."""

from pathlib import Path

import pytest

from rereader.tools.pathless import pathless, pathless_values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cannot write to /srv/data/ws/library.db: full.", "Cannot write to library.db: full."),
        ("The file '/srv/data/a.txt' is gone", "The file 'a.txt' is gone"),
        ("see ~/notes/a.txt or ~/b.txt", "see a.txt or b.txt"),
        (r"C:\Users\anna\models\tiny.gguf failed", "tiny.gguf failed"),
        ("openai:m@http://127.0.0.1:8000/v1/chat", "openai:m@http://127.0.0.1:8000/v1/chat"),
        ("and/or, 3/4, 1/2/3", "and/or, 3/4, 1/2/3"),
        ("rereader models pull Qwen/Qwen3-0.6B", "rereader models pull Qwen/Qwen3-0.6B"),
        ("a model that needs /dev", "a model that needs /dev"),
        ("", ""),
    ],
)
def test_the_name_alone_is_left_of_a_path(text, expected):
    assert pathless(text) == expected


def test_folders_whose_names_hold_spaces_are_known():
    folders = [Path("/srv/my data"), Path("/srv/my data/work space")]
    assert pathless("The workspace /srv/my data/work space is busy.", folders) == "The workspace work space is busy."
    assert pathless("/srv/my data/work spaces/x", folders) == "my data/work spaces/x"


@pytest.mark.parametrize("folder", [".", "", "/", "a", "there/is"])
def test_folders_that_stand_in_any_text_take_nothing_out_of_it(folder):
    text = "There is no run 'x'. See 'rereader runs list', and/or there/is a b/c."
    assert pathless(text, [Path(folder)]) == text


def test_values_are_cleaned_at_any_depth():
    value = {"gate": "/srv/gates/mine.bin", "deep": [("/srv/a/b", 1, None, True)], "n": 0.5}
    assert pathless_values(value) == {"gate": "mine.bin", "deep": [["b", 1, None, True]], "n": 0.5}
