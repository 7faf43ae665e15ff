"""What is said of a confidence is what was measured."""

from pathlib import Path
from statistics import fmean

import pytest

from rereader.evals.expressions import fitting, plain_rows
from rereader.schema import Answer
from rereader.schema.confidence import BANDS, READER, bands_words, confidence_words

RESULTS = Path(__file__).parents[2] / "docs" / "results"
ROWS = [row for name in ("needles-test", "multihop-test") for row in plain_rows(RESULTS / f"{name}.jsonl")]


@pytest.mark.parametrize(("band", "before"), list(zip(BANDS, [1.01, *(band.least for band in BANDS)], strict=False)))
def test_shares_are_those_of_the_committed_rows(band, before):
    found = fitting(ROWS, [f"confidence>={band.least}", f"confidence<{before}"])
    assert {row["models"]["reader"].split()[0] for row in found} == {READER}
    assert (band.answers, band.right) == (len(found), round(fmean(row["scores"]["right"] for row in found), 2))


def test_a_confidence_is_never_shown_without_what_it_was_worth():
    answer = Answer(question="Who?", answer="Og", graph="retrieval", run_id="r")
    assert confidence_words(answer) == ""
    for sure, share in ((1.0, "43%"), (0.9, "43%"), (0.8999, "28%"), (0.0, "14%")):
        said = confidence_words(answer.model_copy(update={"confidence": sure}))
        assert said.startswith(f"confidence {sure:.2f} (in tests {share} of such answers of {READER}")
    declined = answer.model_copy(update={"confidence": 0.1, "declined": True})
    assert confidence_words(declined) == "confidence 0.10"
    assert all(f"{band.right:.0%}" in bands_words() for band in BANDS)
