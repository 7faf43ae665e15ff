"""``rereader bench report`` and ``verify`` over a small checkout: what stands on its pages must follow from rows."""

import json
from pathlib import Path

import pytest
from toy_rows import row, write

from rereader.cli.main import run
from rereader.evals.expressions import Figures, plain_rows, tables_of
from rereader.evals.manifest import load_manifest
from rereader.evals.prose import paragraphs, says
from rereader.schema.errors import InputError

MANIFEST = """
[reasons]
aim = "a goal"

[[exempt]]
pattern = '[0-9.]+B'
reason = "sizes of models"

[[block]]
into = "README.md"
marker = "toy"
files = ["toy"]
brief = true

[[block]]
into = "docs/costs.md"
marker = "costs"
table = "grouped"
files = ["costs"]
by = ["way"]
columns = [{ title = "seconds", field = "seconds", digits = 1, unit = " s" }]

[[block]]
into = "docs/costs.md"
marker = "board"
table = "leaderboard"
files = ["toy"]

[[plot]]
path = "docs/frontier.png"
draw = "frontier"
files = ["toy"]
"""
README = """# Toy

The fused system finds 1.00 of 30 facts, bm25 0.50 of a 1.5B model's, and 0.75 was wanted. Not a number: `0.123`.

<!-- rows
1.00 = cell("toy", "Evidence recall", "all", "fused")
0.50 = mean("toy", "scores.evidence_recall", "system=bm25")
0.75: aim
-->

<!-- bench:toy -->
old
<!-- /bench:toy -->
"""
COSTS = """# Costs

- The slow way takes 4.0 times as long, 8 s.

<!-- rows
4.0 = value("costs", "seconds", "way=slow") / value("costs", "seconds", "way=fast")
8 = most("costs", "seconds")
-->

<!-- bench:costs -->
<!-- /bench:costs -->

<!-- bench:board -->
<!-- /bench:board -->
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    results = tmp_path / "docs" / "results"
    results.mkdir(parents=True)
    rows = []
    for n in range(10):
        rows.append(row(n, "bm25", recall=float(n % 2), graph="retrieval", settings={"ranker": "bm25"}))
        rows.append(row(n, "fused", graph="retrieval", settings={}, wall_seconds=4.5))
    write(results / "toy.jsonl", rows)
    costs = [{"way": "slow", "seconds": 8.0}, {"way": "fast", "seconds": 2.0}]
    (results / "costs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in costs))
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "docs" / "costs.md").write_text(COSTS)
    (tmp_path / "docs" / "report.toml").write_text(MANIFEST)
    monkeypatch.chdir(tmp_path)
    assert run(["bench", "report", "--json"]) == 0
    return tmp_path


def faults(capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    code = run(["bench", "verify", "--json"])
    found = json.loads(capsys.readouterr().out)["faults"]
    assert code == (1 if found else 0)
    return list(found)


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_report_writes_blocks_and_pictures_once(checkout, capsys):
    assert "| all | 10 | 0.50 [" in (checkout / "README.md").read_text()
    assert "full context not run, BM25 0.50, embedding not run" in (checkout / "README.md").read_text()
    costs = (checkout / "docs" / "costs.md").read_text()
    assert "| slow | 8.0 s |" in costs
    assert costs.index("| 1 | fused |") < costs.index("| 2 | bm25 (control) |")
    assert (checkout / "docs" / "frontier-dark.png").is_file()
    capsys.readouterr()
    assert run(["bench", "report"]) == 0
    assert "Everything is as its rows make it." in capsys.readouterr().out
    assert faults(capsys) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("README.md", "finds 1.00 of", "finds 0.98 of", "README.md:3: 0.98 has no row behind it"),
        ("README.md", '1.00 = cell("toy"', '1.00 = cell("gone"', "README.md:6: There is no block 'gone'."),
        ("README.md", "1.00 of 30 facts, bm25 0.50", "0.50 of 30 facts, bm25 1.00", "notes have 1.00 where"),
        ("README.md", "0.75 was wanted", "0.75 was wanted, 0.50 feared", "README.md:3: the notes have nothing where"),
        ("README.md", "0.75: aim", "0.75: aim\n1.00: aim", "the paragraph has nothing"),
        ("README.md", "0.75: aim", "0.75: luck", "'luck' is no reason"),
        ("README.md", "| all | 10 |", "| all | 11 |", "the block 'toy' is not what its rows make"),
        ("README.md", '"scores.evidence_recall", "system=bm25"', '"x"', "No row of toy has x"),
        ("README.md", "0.75: aim", "seven", "seven does not stand in the paragraph"),
        ("README.md", "<!-- bench:toy -->", "<!-- bench:else -->", "there is no block 'toy'"),
        ("docs/costs.md", "4.0 times", "5 times", "docs/costs.md:3: 5 has no row behind it"),
        ("docs/results/costs.jsonl", '"seconds": 8.0', '"seconds": 9.0', "4.0 is 4.5 by its rows"),
        ("docs/results/toy.jsonl", '"wall_seconds": 4.5', '"wall_seconds": 9.5', "frontier.png: not drawn from these"),
        ("docs/report.toml", 'files = ["costs"]', 'files = ["gone"]', "There are no rows 'gone'"),
    ],
)  # fmt: skip
def test_what_does_not_follow_from_rows_is_told(file, old, new, fault, checkout, capsys):
    changed(checkout / file, old, new)
    assert any(fault in one for one in faults(capsys)), faults(capsys)


def test_a_picture_that_is_gone_is_told(checkout, capsys):
    (checkout / "docs" / "frontier-dark.png").write_bytes(b"no picture")
    assert faults(capsys) == ["docs/frontier-dark.png: not drawn from these rows; `rereader bench report` draws it."]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("pages = 3", "is wrong at pages"),
        ("=", "is not TOML"),
        (MANIFEST.replace('marker = "board"', 'marker = "toy"'), "two blocks 'toy'"),
    ],
)
def test_a_wrong_manifest(content, said, checkout, capsys):
    (checkout / "docs" / "report.toml").write_text(content)
    capsys.readouterr()
    assert run(["bench", "verify"]) == 2
    assert said in capsys.readouterr().err
    assert run(["bench", "verify", "--manifest", "gone/report.toml"]) == 2


def test_options_of_a_table_want_a_file(checkout, capsys):
    assert run(["bench", "report", "--brief"]) == 2
    assert "no results file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "value", "same"),
    [
        ("0.91", 0.914, True),
        ("0.91", 0.916, False),
        ("8.1%", 0.0812, True),
        ("-0.71", -0.712, True),
        ("0.71", -0.712, True),
        ("+0.71", -0.712, False),
        ("-0.71", 0.712, False),
        ("+0.00", 0.0, True),
        ("25", 25.49, True),
        ("25", 25.51, False),
        ("11,613", 11613.0, True),
    ],
)
def test_a_number_is_its_value_rounded_to_its_decimals(number, value, same):
    assert says(number, value) is same


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("It finds 0.91 of 300 words, 81% of 20.", ["0.91", "81%"]),
        ("Takes 3 s, 25 times as long; 89 and 95 s, 2 to 4 MB.", ["3", "25", "89", "95", "2", "4"]),
        ("Reads 4,715 tokens a second in 3 GiB; 60 tokens more.", ["4,715", "3"]),
        ("`0.5` and [0.6](a/0.7.md) and <b title='0.8'> v1.2.3", ["0.6"]),
        ("    0.5 in code\n", []),
        ("```text\n0.5\n```\n", []),
        ("<!-- bench:x -->\n0.5\n<!-- /bench:x -->", []),
        ("A 0.5B model of 200 thousand tokens.", []),
    ],
)
def test_what_counts_as_measured(text, numbers):
    found = [number for paragraph in paragraphs(text) for _, number in paragraph.measured([])]
    assert [number for number in found if number != "0.5B"] == numbers


def test_a_note_belongs_to_the_paragraph_before_it():
    first, second = paragraphs("One 0.5.\n\n<!-- rows\n0.5: aim\n-->\n\nTwo 0.6.\n")
    assert ([claim.numbers for claim in first.claims], first.line) == ([("0.5",)], 1)
    assert (second.claims, second.line) == ((), 7)


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os')",
        "mean(1)",
        "mean('toy')",
        "mean('toy', 'seconds', key='x')",
        "x",
        "'a' + 'b'",
        "1 ** 2",
        "(",
        "1 / 0",
        "count('toy', 'way')",
        "cell('b', '', 'line', 'gone')",
    ],
)
def test_expressions_that_are_not_understood(expression, tmp_path):
    (tmp_path / "toy.jsonl").write_text('{"way": "a", "seconds": 2}\n')
    figures = Figures(lambda name: tmp_path / f"{name}.jsonl", {"b": "| x | y |\n| --- | ---: |\n| line | 1 |"})
    with pytest.raises(InputError):
        figures.value(expression)


def test_expressions_over_rows_and_cells(tmp_path):
    rows = [
        {"way": "a", "seconds": {"read": 1.0, "write": 2.0}, "times": [3, 5]},
        {"way": "b", "seconds": {"read": 4.0}, "recall@5": 0.5},
    ]
    path = tmp_path / "toy.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    block = "Recall\n\n| way | n | b |\n| --- | ---: | ---: |\n| `a` | 3 | **1,200.5 [-1.0, 2.0]** |\n| `a` | 4 | 7 |"
    figures = Figures(lambda _: path, {"x": block})
    assert figures.value('total("toy", "seconds")') == 7
    assert figures.value('value("toy", "seconds.read", "way!=a") - 1') == 3
    assert figures.value('least("toy", "times.least") / most("toy", "times.1") * 10') == 6
    assert figures.value('mean("toy", "recall@5") + median("toy", "times")') == 4.5
    assert figures.value('count("toy", "way=b")') == 1
    assert figures.value('cell("x", "Recall", "a", "b")') == 1200.5
    assert figures.value('cell("x", "", "a", "b low")') == -1
    assert figures.value('cell("x", "", "a 4", "b")') == 7
    assert [title for title, _ in tables_of(block)] == ["Recall"]
    assert plain_rows(path) == rows


def test_the_manifest_of_the_docs_names_what_is_there(root):
    manifest = load_manifest(root / "docs" / "report.toml")
    for block in manifest.block:
        assert f"<!-- bench:{block.marker} -->" in (root / block.into).read_text(encoding="utf-8")
        assert all(manifest.results_file(name).is_file() for name in block.files)
    for plot in manifest.plot:
        assert (root / plot.path).is_file()
        assert (root / plot.dark).is_file()
