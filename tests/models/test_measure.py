import json

import pytest

from rereader.models.measure import Rates, Settings, decide, load_settings, measure, probe_model, store_settings
from rereader.models.tiny import FAMILIES, tiny_model
from rereader.schema.errors import StoreError


def rates(prefill, decode):
    """Rates from {dtype: [rate at batch 1, 4, 16]}."""

    def table(phase):
        return {
            (dtype, rows): rate for dtype, line in phase.items() for rows, rate in zip((1, 4, 16), line, strict=False)
        }

    return Rates(table(prefill), table(decode))


HALF_READS_FULL_WRITES = rates(
    {"bfloat16": [300, 310, 305], "float32": [100, 105, 101]}, {"bfloat16": [3, 4, 5], "float32": [8, 20, 60]}
)


def test_each_phase_gets_its_own_precision_where_memory_allows():
    chosen = decide(HALF_READS_FULL_WRITES, two_copies=True)
    assert (chosen.prefill_dtype, chosen.decode_dtype) == ("bfloat16", "float32")


def test_one_precision_for_both_weighs_reading_against_writing():
    # Per 16 tokens read one is written: 16/102 + 1/21 beats 16/305 + 1/4.
    chosen = decide(HALF_READS_FULL_WRITES, two_copies=False)
    assert (chosen.prefill_dtype, chosen.decode_dtype) == ("float32", "float32")
    even = rates({"bfloat16": [300], "float32": [100]}, {"bfloat16": [6], "float32": [8]})
    assert decide(even, two_copies=False).decode_dtype == "bfloat16"


def test_a_small_gain_is_not_worth_a_second_copy():
    close = rates({"bfloat16": [300], "float32": [100]}, {"bfloat16": [7], "float32": [8]})
    chosen = decide(close, two_copies=True)
    assert (chosen.prefill_dtype, chosen.decode_dtype) == ("bfloat16", "bfloat16")


def test_the_smallest_good_batch_is_taken():
    chosen = decide(rates({"float32": [95, 100, 101]}, {"float32": [8, 20, 60]}), two_copies=False)
    assert (chosen.prefill_batch, chosen.decode_batch) == (1, 16)


def test_precisions_are_compared_on_the_batches_that_both_have():
    uneven = rates({"bfloat16": [50], "float32": [60, 10, 10]}, {"bfloat16": [5], "float32": [6, 1, 1]})
    assert decide(uneven, two_copies=False).prefill_dtype == "float32"


def test_the_decision_rests_on_stored_rates():
    chosen = decide(HALF_READS_FULL_WRITES, two_copies=True)
    assert chosen.rates["prefill/bfloat16/4"] == 310
    assert len(chosen.rates) == 12


@pytest.mark.parametrize("family", FAMILIES)
def test_measuring_compares_all_precisions(family):
    config = tiny_model(family)[0].config
    found = measure(config, "cpu", ("bfloat16", "float32"), batches=(1, 2), seconds=2.0)
    assert {"prefill/bfloat16/1", "decode/float32/1"} <= set(found.rates)
    assert all(rate > 0 for rate in found.rates.values())
    assert found.prefill_batch in (1, 2)


def test_without_time_the_smallest_batch_is_still_measured_in_every_precision():
    config = tiny_model()[0].config
    found = measure(config, "cpu", ("bfloat16", "float32"), seconds=0.0)
    assert set(found.rates) == {
        f"{phase}/{dtype}/1" for phase in ("prefill", "decode") for dtype in ("bfloat16", "float32")
    }


def test_probes_that_would_take_too_long_are_left_out(monkeypatch):
    seen = []

    def slow(model, rows):
        seen.append(rows)
        return 100.0

    monkeypatch.setattr("rereader.models.measure._probe_prefill", slow)
    config = tiny_model()[0].config
    found = measure(config, "cpu", ("bfloat16", "float32"), seconds=3.0)
    assert seen == [1, 1]
    assert found.prefill_batch == 1
    seen.clear()
    measure(config, "cpu", ("bfloat16", "float32"), seconds=200.0)
    assert seen == [1, 1, 4, 4, 16, 16]


def test_the_probe_has_the_layers_of_the_model():
    model, _ = tiny_model("qwen3")
    probe = probe_model(model.config, "cpu", "bfloat16")
    one, original = probe.model.layers[0].state_dict(), model.model.layers[0].state_dict()
    assert {name: t.shape for name, t in one.items()} == {name: t.shape for name, t in original.items()}
    assert len(probe.model.layers) == 1
    assert model.config.num_hidden_layers == 2


def test_settings_are_kept_by_key(tmp_path):
    path = tmp_path / "new" / "settings.json"
    first, second = Settings(prefill_batch=4, rates={"prefill/float32/1": 12.5}), Settings(decode_batch=2)
    store_settings(path, "a", first)
    store_settings(path, "b", second)
    assert load_settings(path, "a") == first
    assert load_settings(path, "b") == second
    assert load_settings(path, "c") is None
    assert sorted(json.loads(path.read_text())) == ["a", "b"]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("content", ["", "{broken", "[]", '{"a": {"unknown": 1}}', '{"a": 3}'])
def test_a_damaged_file_is_measured_anew(tmp_path, content):
    path = tmp_path / "settings.json"
    path.write_text(content)
    assert load_settings(path, "a") is None
    store_settings(path, "a", Settings())
    assert load_settings(path, "a") == Settings()


def test_a_place_that_cannot_be_written_says_so(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(StoreError, match="Cannot write"):
        store_settings(file / "settings.json", "a", Settings())
