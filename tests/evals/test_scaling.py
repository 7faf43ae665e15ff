import json
import random

import pytest
from toy_rows import row, write

from rereader.cli.main import run
from rereader.evals.panels import Panel, Series, draw, drawn_from, fingerprint, short
from rereader.evals.scaling import fit_exponent
from rereader.evals.score_plots import frontier_panels, length_of, length_panels, unbeaten
from rereader.schema.errors import InputError

LENGTHS = [1e4, 3e4, 1e5, 3e5, 1e6]


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_a_power_law_without_noise_is_found(exponent):
    found = fit_exponent(LENGTHS, [3 * length**exponent for length in LENGTHS])
    assert found is not None
    assert found.value == pytest.approx(exponent, abs=1e-9)
    assert found.low == pytest.approx(found.high, abs=1e-6)


def test_the_interval_covers_the_exponent_as_often_as_it_says():
    rng = random.Random(0)
    fits = [fit_exponent(LENGTHS, [x * rng.lognormvariate(0, 0.3) for x in LENGTHS]) for _ in range(400)]
    covered = sum(fit.low <= 1 <= fit.high for fit in fits if fit) / len(fits)
    assert 0.91 < covered < 0.99


def test_too_little_for_a_line():
    assert fit_exponent([1.0, 1.0, 2.0], [1.0, 2.0, 3.0]) is None
    assert fit_exponent(LENGTHS, [0.0, 1.0, 2.0, 3.0, 4.0]) is None


def cost(graph, tokens, model="scripted", **more):
    counts = dict.fromkeys(("prompt_tokens", "completion_tokens", "embedded_tokens", "calls"), tokens // 10)
    sizes = {"serial_depth": 1, "memory_megabytes": 50.0, "workspace_megabytes": 1.0}
    return {"graph": graph, "model": model, "tokens": tokens, "seconds": tokens / 1000, **counts, **sizes, **more}


def test_the_command_fits_each_graph_and_model(tmp_path, capsys):
    lengths, models = (20000, 40000, 80000), ("scripted", "m")
    rows = [cost(graph, tokens, model) for graph in ("a", "b") for model in models for tokens in lengths]
    rows += [cost("a", 1000, seconds=99.0), {"graph": "a", "model": "m", "tokens": 160000, "error": "no"}]
    rows.append(cost("c", 20000))
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert run(["bench", "scaling", str(path), "--plot", str(tmp_path / "costs.png"), "--json"]) == 0
    table = json.loads(capsys.readouterr().out)["markdown"]
    assert table.count("20,000 to 80,000 | 3 | 1.00 [1.00, 1.00]") == 4
    assert "`c`" not in table
    assert drawn_from(tmp_path / "costs.png") is not None
    assert run(["bench", "scaling", str(tmp_path / "gone.jsonl")]) == 2


def test_a_picture_tells_what_it_was_drawn_from(tmp_path):
    panel = Panel("t", "x", "y", (Series("a", ((1.0, 2.0), (3.0, 4.0)), ((1.0, 3.0), (3.5, 4.5))),), log_x=True)
    draw([panel], tmp_path / "a.png")
    draw([panel], tmp_path / "b.png", dark=True)
    assert drawn_from(tmp_path / "a.png") == drawn_from(tmp_path / "b.png") == fingerprint([panel])
    assert fingerprint([panel]) != fingerprint([Panel("t", "x", "y", (Series("a", ((1.0, 2.0),)),))])
    assert drawn_from(tmp_path / "gone.png") is None
    draw([panel], tmp_path / "c.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "c.png").read_bytes()


def test_the_front_is_what_nothing_cheaper_beats():
    assert unbeaten([(3, 0.5), (1, 0.2), (2, 0.6), (2, 0.1), (5, 0.6)]) == [(1, 0.2), (2, 0.6)]


@pytest.mark.parametrize(("value", "shown"), [(0.5, "0.5"), (20, "20"), (4000, "4k"), (1_750_000, "1.75M")])
def test_numbers_of_an_axis(value, shown):
    assert short(value) == shown


def test_frontier_and_lengths_from_rows(tmp_path):
    paths = []
    for tokens in (1000, 2000):
        path = tmp_path / f"toy-{tokens}.jsonl"
        rows = [row(n, system, recall=float(n % 2), graph="g") for n in range(4) for system in ("a", "b")]
        write(path, rows)
        path.write_text(path.read_text().replace('"dirty": true', f'"dirty": true, "data": {{"tokens": {tokens}}}'))
        paths.append(path)
    (lengths,) = length_panels(paths)
    assert [(one.name, one.points) for one in lengths.series] == [(s, ((1000.0, 0.5), (2000.0, 0.5))) for s in "ab"]
    assert lengths.share  # its axis ends at 1
    assert frontier_panels(paths[:1]) == []  # both cost the same
    cheap = row(0, "a", usage={"prompt_tokens": 9, "completion_tokens": 1})
    other = write(tmp_path / "other.jsonl", [cheap, row(0, "b")])
    panels = frontier_panels([other])
    assert [panel.x for panel in panels] == ["tokens a question"]
    assert panels[0].front == ((10.0, 1.0),)
    with pytest.raises(InputError, match="does not say how long"):
        length_of(other)
