import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.models.batching import by_length, plan_batches, restore, run_halving


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 6), st.integers(1, 120))
def test_batches_hold_each_prompt_once_under_both_ceilings(lengths, rows, tokens):
    batches = plan_batches(lengths, rows, tokens)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert [i for batch in batches for i in batch] == by_length(lengths)
    for batch in batches:
        assert len(batch) <= rows
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= tokens
    assert restore(batches, batches) == list(range(len(lengths)))


@given(st.lists(st.integers(), min_size=1, max_size=30), st.integers(1, 8))
def test_halving_gives_all_results_in_order(batch, limit):
    def run(part):
        if len(part) > limit:
            raise MemoryError
        return [number * 2 for number in part]

    assert run_halving(batch, run) == [number * 2 for number in batch]


def test_halving_hides_no_other_error():
    with pytest.raises(RuntimeError, match="shape"):
        run_halving([1, 2], lambda part: (_ for _ in ()).throw(RuntimeError("shape")))
