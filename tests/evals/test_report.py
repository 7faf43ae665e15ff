from pathlib import Path

import pytest
from toy_rows import row, write

from rereader.evals.leaderboard import leaderboard
from rereader.evals.markdown_blocks import update_file
from rereader.evals.report import render
from rereader.evals.score_plots import frontier_panels
from rereader.schema.errors import InputError, StoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rows = []
    for n in range(30):
        kind = ("single", "latent", "absent")[n % 3]
        bm25 = None if kind == "absent" else float(kind == "single")
        rows.append(row(n, "bm25", kind, bm25))
        rows.append(row(n, "fused", kind, None if kind == "absent" else 1.0))
    return write(tmp_path / "toy-test.jsonl", rows)


def cells(table: str, start: str) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def section(text: str, title: str) -> str:
    return text.split(f"{title}\n\n")[1].split("\n\n")[0]


def test_the_summary_of_each_system(path: Path) -> None:
    text = render([path])
    header, bm25 = cells(text, "system"), cells(text, "bm25")
    values = dict(zip(header, bm25, strict=True))
    assert values["n"] == "30"
    assert values["evidence recall"].startswith("0.50 [0.")
    assert (values["precision"], values["words"], values["F1"]) == ("0.25", "240", "0.50")
    assert (values["tokens"], values["serial depth"], values["seconds"]) == ("1,020", "2.0", "1.5")
    assert (values["declined"], values["decline AUROC"]) == ("0.00", "1.00")
    assert "bm25 30 s, fused 30 s and 5,000 tokens" in text
    assert "at 10% false declines: bm25 1.00 (always declining is right for 0.33, never 0.67), fused 1.00" in text


def test_scores_by_kind_and_paired_differences(path: Path) -> None:
    text = render([path])
    assert cells(section(text, "Evidence recall"), "latent")[1:] == ["10", "0.00 [0.00, 0.00]", "1.00 [1.00, 1.00]"]
    assert "absent" not in section(text, "Evidence recall")
    difference = section(text, "Evidence recall: difference from bm25, same items")
    assert cells(difference, "latent") == ["latent", "10", "**+1.00 [+1.00, +1.00]**"]
    assert cells(difference, "single") == ["single", "10", "+0.00 [+0.00, +0.00]"]
    low, high = cells(difference, "all")[2].strip("*").split("[")[1].strip("]").split(",")
    assert 0.2 < float(low) < 0.5 < float(high) < 0.8


def test_a_table_names_its_raw_file_commit_and_models(path: Path) -> None:
    text = render([path])
    assert path.as_posix() in text
    assert "0123456789ab with uncommitted changes" in text
    assert "reader fake/1" in text
    assert "60 of 60 verified passages" in text


def test_unequal_items_are_told_and_only_shared_ones_are_paired(tmp_path: Path) -> None:
    rows = [row(0, "bm25", recall=0.0), row(1, "bm25", recall=0.0), row(2, "bm25", recall=1.0), row(2, "fused")]
    text = render([write(tmp_path / "rows.jsonl", rows)])
    assert "1 of 3 items were put to every system" in text
    assert cells(section(text, "Evidence recall: difference from bm25, same items"), "all")[2].startswith("+0.00")


def test_failed_calls_and_false_quotes_are_told(tmp_path: Path) -> None:
    failed = row(1, "bm25", recall=0.0, status="failed", usage={}, evidence=[])
    del failed["evidence_false"]
    text = render([write(tmp_path / "rows.jsonl", [row(0, "bm25", evidence_false=1), failed])])
    assert "1 calls failed" in text
    assert "0 of 1 verified passages" in text


def stored(item: int, system: str, **more: object) -> dict[str, object]:
    """A row whose reply came from the cache, at once."""
    made = row(item, system, wall_seconds=0.1, **more)
    return {**made, "usage": {**made["usage"], "calls": 1, "cached_calls": 1}}


def test_answers_from_the_cache_count_for_no_seconds(tmp_path: Path) -> None:
    rows = [row(0, "paid"), stored(0, "again"), row(1, "paid", wall_seconds=2.5), row(1, "again")]
    rows += [stored(2, "paid"), stored(2, "again"), *(row(item, "slow", wall_seconds=9.0) for item in range(3))]
    path = write(tmp_path / "rows.jsonl", rows)
    text = render([path])
    header = cells(text, "system")
    seconds = {system: cells(text, system)[header.index("seconds")] for system in ("paid", "again")}
    assert seconds == {"paid": "2.0", "again": "-"}  # one of three is too few
    assert "3 answers rest on stored replies and count for no seconds." in text
    board = leaderboard([(path, rows)])
    assert "| 1,020 | 2.0 |" in board and "| 1,020 | - |" in board
    (panel,) = frontier_panels([path])
    assert [(one.name, one.points[0][0]) for one in panel.series] == [("paid", 2.0), ("slow", 9.0)]
    assert panel.x.endswith("(without 3 of 9 that rest on stored replies)")


def test_evidence_only_rows_have_no_answer_columns(tmp_path: Path) -> None:
    only = {"evidence_recall": 0.5, "evidence_precision": 0.1, "evidence_words": 3.0}
    rows = [row(0, "bm25", scores=only, confidence=None), row(0, "fused", scores=only, confidence=None)]
    text = render([write(tmp_path / "rows.jsonl", rows)])
    values = dict(zip(cells(text, "system"), cells(text, "fused"), strict=True))
    assert (values["contained"], values["F1"], values["decline AUROC"]) == ("-", "-", "-")
    assert "Right" not in text


def test_benchmarks_and_splits_are_kept_apart(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "one.jsonl", [row(0, "bm25"), row(0, "bm25", split="dev")]),
        write(tmp_path / "two.jsonl", [row(0, "bm25", benchmark="other")]),
    ]
    text = render(paths)
    assert [f"**{name}**" in text for name in ("toy, test", "toy, dev", "other, test")] == [True] * 3
    assert "difference" not in text  # nothing to compare the only system with


def test_two_files_that_measured_a_system_otherwise_are_not_mixed(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", [row(0, "bm25"), row(0, "fused")])
    other = write(tmp_path / "two.jsonl", [{**row(0, "bm25"), "settings_hash": "other"}, row(0, "dense")])
    with pytest.raises(InputError, match=r"bm25 was measured with other settings, data or models in .*one\.jsonl than"):
        render([one, other])
    text = render([one, other], "fused", systems=["fused", "dense"])
    assert cells(text, "fused") and cells(text, "dense") and "| bm25 |" not in text


def test_files_without_results(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no results"):
        render([write(tmp_path / "rows.jsonl", [])])
    with pytest.raises(StoreError):
        render([tmp_path / "gone.jsonl"])


def test_a_block_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("# A\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nB\n<!-- bench:y -->\n<!-- /bench:y -->\n")
    update_file(page, "x", r"| new \1 |")
    update_file(page, "x", r"| new \2 |")
    assert page.read_text() == (
        "# A\n<!-- bench:x -->\n| new \\2 |\n<!-- /bench:x -->\nB\n<!-- bench:y -->\n<!-- /bench:y -->\n"
    )


@pytest.mark.parametrize(
    "text", ["nothing", "<!-- bench:x -->", "<!-- /bench:x -->\n<!-- bench:x -->", "<!-- bench:x -->" * 2]
)
def test_a_block_that_is_not_there(text: str, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(text)
    with pytest.raises(InputError, match="block 'x'"):
        update_file(page, "x", "new")
    assert page.read_text() == text
    with pytest.raises(InputError, match="no file"):
        update_file(tmp_path / "gone.md", "x", "new")


def test_a_brief_report_has_a_table_for_each_main_score_and_the_differences(path: Path) -> None:
    text = render([path], brief=True)
    assert text.count("| kind |") == 2
    assert text.count("against bm25 on the same items: ") == 2
    assert "Raw rows:" in text
