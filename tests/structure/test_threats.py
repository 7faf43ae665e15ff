"""What THREAT_MODEL.md names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "THREAT_MODEL.md").read_text(encoding="utf-8")
RULES = re.compile(r"rules? `(\w+)`(?: and `(\w+)`)?")


def test_every_file_that_is_named_is_there() -> None:
    named = re.findall(r"`([\w./*]+\.py|tests/\w+|scripts/\w+)`", TEXT)
    assert len(named) > 30
    homes = ("", "src/rereader/", "tests/evals/", "tests/tools/", "tests/server/", "tests/structure/")
    for name in named:
        assert any(list(ROOT.glob(home + name)) for home in homes), name


def test_every_rule_that_is_named_is_one() -> None:
    from rereader.testing.conformance import RULES as KNOWN

    found = {name for match in RULES.findall(TEXT) for name in match if name}
    assert found and found <= {rule.name for rule in KNOWN}


def test_every_row_names_what_shows_it() -> None:
    rows = [line for line in TEXT.partition("What is guarded where")[2].splitlines() if line.startswith("| ")]
    assert len(rows) > 15
    for row in rows[1:]:
        assert "test" in row.split("|")[3] or "rule" in row.split("|")[3] or "by hand" in row.split("|")[3], row
