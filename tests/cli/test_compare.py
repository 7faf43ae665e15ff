"""``rereader compare``: answers, table, JSON, page, exit codes, Ctrl-C."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading

import html5lib
import pytest
from rich.console import Console
from strongbox import FACT, QUESTION, write_book

from rereader.cli import compare as command_module
from rereader.cli import comparison_display, estimating
from rereader.cli.bars import COLOURS, REST, Bar, chart
from rereader.cli.comparison_display import figures_table
from rereader.cli.comparison_page import comparison_page
from rereader.cli.main import run
from rereader.cli.report import make_report
from rereader.runs.comparing import compare
from rereader.runs.systems import System, read_systems
from rereader.schema import Budget
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

WITHOUT = ["--model=extractive", "--role=gister=none", "--role=scorer=none", "--role=embedder=hashing"]
SVG = "{http://www.w3.org/2000/svg}"
GRAPHS = "--graphs=retrieval,compressed-memory"


@pytest.fixture
def sentences():
    return 120


def parsed(page):
    """The page as a tree; whatever is not sound HTML raises."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)


def test_answers_with_quotes_and_one_table(command, book):
    code, out, err = command("compare", *WITHOUT, book, QUESTION, GRAPHS)
    assert code == 0
    assert out.count(FACT) >= 2 and "book.txt, line " in out and "verified" in out
    assert "compressed-memory · analogue, after LycheeMemory" in out and "retrieval · baseline\n" in out
    [head] = [line for line in out.splitlines() if line.startswith("graph ")]
    assert head.split() == ["graph", *(figure.title for figure in comparison_display.FIGURES)]
    assert "shared one workspace" in out and "only grows" in out
    assert "1 of 2: retrieval, about " in err and "compressed-memory: answered after " in err
    runs = json.loads(command("runs", "list", "--json")[1])
    assert [one["graph"] for one in runs] == ["compressed-memory", "retrieval"]
    assert FACT in command("show", runs[0]["id"])[1]


def test_json_says_what_ask_says(command, book):
    code, out, err = command("compare", *WITHOUT, book, QUESTION, GRAPHS, "--json", "--quiet", "--budget", "5000")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert set(found) == {
        "schema_version", "question", "documents", "models", "budget", "fresh", "warnings", "notes", "rows",
    }  # fmt: skip
    assert (found["schema_version"], found["fresh"], found["budget"]["tokens"]) == (1, False, 5000)
    assert found["documents"][0]["title"] == "book.txt"
    for row in found["rows"]:
        asked = json.loads(command("ask", book, QUESTION, "--json", "--graph", row["graph"])[1])
        for name in ("answer", "evidence", "claims", "status", "confidence"):
            kept = [{**one, "record": None} if isinstance(one, dict) else one for one in _listed(row["answer"][name])]
            alone = [{**one, "record": None} if isinstance(one, dict) else one for one in _listed(asked[name])]
            assert kept == alone
        assert row["run_id"] == row["answer"]["run_id"]
        assert row["error"] is None and row["ingest_seconds"] <= row["wall_seconds"]


def _listed(value):
    return value if isinstance(value, list) else [value]


def test_a_graph_that_cannot_run_is_said_and_the_code_is_of_the_first(command, book):
    code, out, _ = command("compare", *WITHOUT, book, QUESTION, "--graphs", "full-context,retrieval")
    assert code == 0
    assert "failed: This graph needs a reader and none is bound. Name one with --model NAME" in out
    code, out, _ = command("compare", *WITHOUT, book, QUESTION, "--graphs", "full-context", "--json")
    assert (code, json.loads(out)["rows"][0]["error"]["exit_code"]) == (5, 5)
    declined = "--graphs=none=retrieval:decline_below=1.0,full-context"
    assert command("compare", *WITHOUT, book, "Who was the queen of Narnia?", declined)[0] == 4


def test_without_graphs_all_are_compared_and_without_files_the_workspace_is_asked(command, book, monkeypatch):
    command("add", book)
    two = [System("retrieval", "retrieval"), System("full-context", "full-context")]
    monkeypatch.setattr("rereader.runs.systems.every_system", lambda: two)
    code, out, _ = command("compare", *WITHOUT, QUESTION, "--json")
    assert (code, [row["system"] for row in json.loads(out)["rows"]]) == (0, ["retrieval", "full-context"])


def test_settings_for_one_and_for_all(command, book):
    graphs = "few=retrieval:evidence_words=10,compressed-memory"
    arguments = ["--graphs", graphs, "--set", "evidence_words=50", "--gist", "extract", "--json"]
    code, out, err = command("compare", *WITHOUT, book, QUESTION, *arguments)
    first, second = json.loads(out)["rows"]
    assert code == 0
    assert (first["system"], first["settings"]) == ("few", {"evidence_words": "10"})
    assert second["settings"] == {"evidence_words": "50", "gist": "extract"}
    assert "note: The setting gist does not exist for few." in err
    quoted = [sum(len(one["quote"].split()) for one in row["answer"]["evidence"]) for row in (first, second)]
    assert 0 < quoted[0] < quoted[1]


BAD = {
    "unknown graph": ([GRAPHS[:-1]], "Did you mean 'compressed-memory'"),
    "unknown setting": (["--graphs", "retrieval:ranke=bm25"], "Did you mean 'ranker'"),
    "wrong value": (["--graphs", "retrieval:ranker=best"], "ranker"),
    "setting that no graph has": (["--graphs", "retrieval", "--gist", "extract"], "gist"),
    "one name twice": (["--graphs", "retrieval,retrieval"], "other=retrieval"),
    "no graph": (["--graphs", ""], "no system"),
    "negative budget": ([GRAPHS, "--budget", "-1"], "negative"),
    "page in no folder": ([GRAPHS, "--html", "nowhere/page.html"], "no folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line_and_leaves_nothing(command, book, case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, words = BAD[case]
    code, out, err = command("compare", *WITHOUT, book, QUESTION, *arguments)
    assert (code, out, words in err, len(err.splitlines())) == (2, "", True, 1)
    assert json.loads(command("documents", "--json")[1]) == []


def test_a_missing_question_is_said(command, book):
    assert "question is missing" in command("compare", *WITHOUT, book)[2]
    assert "no document" in command("compare", *WITHOUT, QUESTION, GRAPHS)[2]


def test_long_comparisons_are_told_beforehand_and_may_be_refused(command, book, monkeypatch):
    assert "will take" not in command("compare", *WITHOUT, book, QUESTION, GRAPHS)[2]
    monkeypatch.setattr(command_module, "LONG_SECONDS", 0.0)
    err = command("compare", *WITHOUT, book, "Who reads the letter?", GRAPHS)[2]
    assert "note: retrieval will take about" in err and "note: all together about" in err
    monkeypatch.setattr("typer.confirm", lambda *_, **__: (_ for _ in ()).throw(__import__("typer").Abort()))
    runs = command("runs", "list", "--json")[1]
    code, out, _ = command("compare", *WITHOUT, book, QUESTION, GRAPHS, "--confirm")
    assert (code, out, command("runs", "list", "--json")[1]) == (130, "", runs)
    assert estimating.LONG_SECONDS > 0


@pytest.mark.slow
def test_fresh_runs_are_apart_and_not_kept(command, book, workspace, tmp_path, monkeypatch):
    (tmp_path / "multiprocessing.py").write_text("open('taken', 'w')")
    monkeypatch.chdir(tmp_path)  # no module is taken from the folder that we are in
    code, out, _ = command("compare", *WITHOUT, book, QUESTION, "--graphs", "retrieval", "--fresh", "--json")
    found = json.loads(out)
    assert (code, found["fresh"], found["rows"][0]["run_id"]) == (0, True, None)
    assert FACT in found["rows"][0]["answer"]["answer"]
    assert json.loads(command("runs", "list", "--json")[1]) == []
    assert [one["title"] for one in json.loads(command("documents", "--json")[1])] == ["book.txt"]
    assert not (tmp_path / "taken").exists()


def test_control_c_names_what_is_done(command, book, monkeypatch):
    real = command_module._beginning

    def beginning(expected, *, quiet):
        tell = real(expected, quiet=quiet)

        def begun(system):
            tell(system)
            if system.name == "compressed-memory":
                os.kill(os.getpid(), signal.SIGINT)

        return begun

    monkeypatch.setattr(command_module, "_beginning", beginning)
    code, out, err = command("compare", *WITHOUT, book, QUESTION, GRAPHS)
    [done] = [one["id"] for one in json.loads(command("runs", "list", "--json")[1]) if one["status"] == "answered"]
    assert (code, out) == (130, "")
    assert f"Interrupted in compressed-memory; done are: retrieval (run {done}). Run the same again" in err
    monkeypatch.undo()


@pytest.mark.slow
def test_control_c_at_the_terminal_stops_both_processes(workspace, tmp_path):
    path = write_book(tmp_path / "long.txt", 150_000, seed=2)
    arguments = [sys.executable, "-m", "rereader", "compare", *WITHOUT, str(path), QUESTION, GRAPHS, "--fresh"]
    environment = {**os.environ, "REREADER_MODELS": str(tmp_path), "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        arguments, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith(("chunk: ", "embed: ", "gist: ")):
            break
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=200)
    assert (process.returncode, out) == (130, ""), (lines, err)
    # Which of the two was at work when the signal came depends on the machine.
    assert re.search(r"Interrupted in (retrieval; done were: none|compressed-memory; done were: retrieval)\.", err)
    assert "Traceback" not in err
    assert list(tmp_path.glob("rereader-*")) == []


# --- the table -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A comparison of a hostile text, with a failure, and the reports of its rows."""
    session = scripted_session(tmp_path_factory.mktemp("ws"))
    text = plant(essay(3, 60), ["The sign says <script>alert(1)</script> & \"http://evil.example/x.png\" 'quoted'."])
    document = session.library.documents.add(text, title="<b>a & b</b>.txt", source="a.txt", loader="text/1")
    systems = [
        *read_systems(["retrieval,compressed-memory,sentences=evidence-replay:preset=paper"]),
        System("<i>odd</i>", "retrieval", {"waves": 3}),
    ]
    question = "What does the <sign> say & why?"
    made = compare(session, question, [document.id], systems, budget=Budget(tokens=5000))
    reports = [make_report(session.library, row.run) if row.answer else None for row in made.rows]
    session.close()
    return made, reports


def columns(found, width):
    console = Console(width=width, file=io.StringIO())
    table = figures_table(found, console)
    console.print(table)
    lines = console.file.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    return [column.header for column in table.columns], lines


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_a_narrow_terminal_gets_fewer_columns_and_whole_figures(found, width):
    made, _ = found
    shown, lines = columns(made, width)
    assert shown[:2] == ["graph", "status"] and "seconds" in shown
    assert "…" not in "".join(lines)
    wide = columns(made, 200)[0]
    assert len(wide) == 1 + len(comparison_display.FIGURES)
    assert [title for title in wide if title in shown] == shown
    assert ("read" in shown) == (width >= 60)


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_is_sound_and_needs_nothing_else(found):
    page = comparison_page(*found)
    tree = parsed(page)
    assert not re.search(r"<script|@import|url\(|<link|<img|<iframe", page)
    attributes = [(name, value) for node in tree.iter() for name, value in node.attrib.items()]
    assert not [value for name, value in attributes if name in ("src", "srcset", "action", "data")]
    links = [value for name, value in attributes if name == "href"]
    ids = [value for name, value in attributes if name == "id"]
    assert links and {link[1:] for link in links} <= set(ids) and all(link.startswith("#") for link in links)
    assert len(ids) == len(set(ids))
    assert not [name for name, _ in attributes if name.startswith("on")]
    assert "default-src 'none'" in page and "prefers-color-scheme: dark" in page and "max-width: 30rem" in page


def test_the_page_shows_texts_as_they_are(found):
    made, _ = found
    tree = parsed(comparison_page(*found))
    shown = " ".join("".join(tree.itertext()).split())
    assert "<script>alert(1)</script> & \"http://evil.example/x.png\" 'quoted'" in shown
    assert "What does the <sign> say & why?" in shown and "<b>a & b</b>.txt, line " in shown
    assert "<i>odd</i>" in shown and "Graph 'retrieval' has no setting 'waves'." in shown
    assert "budget 5,000 tokens" in shown and "preset=paper" in shown
    for row in made.rows[:3]:
        assert row.run.id in shown and f"{row.usage.prompt_tokens:,} + {row.usage.completion_tokens:,}" in shown
    assert "Peak memory" not in {"".join(node.itertext()) for node in tree.iter("figcaption")}


def test_the_page_is_written(command, book, tmp_path):
    page = tmp_path / "page.html"
    code, _, err = command("compare", *WITHOUT, book, QUESTION, GRAPHS, "--html", page)
    assert (code, f"Wrote {page}." in err) == (0, True)
    assert FACT in "".join(parsed(page.read_text(encoding="utf-8")).itertext())


def test_bars_are_on_one_scale():
    bars = [Bar("a", {"x": 30.0, "y": 10.0}, "40"), Bar("b", {"y": 20.0}, "20"), Bar("c", {}, "0")]
    tree = parsed("<!DOCTYPE html><title>t</title>" + chart("Seconds", bars))
    rects = [node.attrib for node in tree.iter(f"{SVG}rect") if "x" in node.attrib]
    assert [(one["class"], float(one["x"]), float(one["width"])) for one in rects] == [
        ("part-0", 0.0, 75.0),
        ("part-1", 75.0, 25.0),
        ("part-1", 0.0, 50.0),
    ]


def test_more_parts_than_colours_are_joined():
    many = {f"stage {i}": float(i + 1) for i in range(COLOURS + 3)}
    page = chart("Seconds", [Bar("a", many, "all")])
    assert f"part-{COLOURS - 1}" in page and f"part-{COLOURS}" not in page
    assert f"<title>{REST} 10</title>" in page  # 1 + 2 + 3 + 4
    widths = [float(value) for value in re.findall(r' width="([\d.]+)" height="1">', page)]
    assert sum(widths) == pytest.approx(100, abs=0.1)


def test_compare_has_help(capsys):
    assert run(["compare", "--help"]) == 0
    assert "rereader compare novel.txt" in capsys.readouterr().out


def test_a_signal_handler_is_put_back(command, book):
    before = signal.getsignal(signal.SIGINT)
    assert threading.current_thread() is threading.main_thread()
    command("compare", *WITHOUT, book, QUESTION, "--graphs", "retrieval")
    assert signal.getsignal(signal.SIGINT) is before
