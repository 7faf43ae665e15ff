"""How answers are shown: claims with footnotes, quotes with what stands around them, Markdown, one HTML page."""

import json
import os
import pty
import re
import subprocess
import sys
import webbrowser
from html import unescape
from xml.etree import ElementTree

import html5lib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from rereader.cli.display import UNCARRIED, cost
from rereader.cli.markdown import plain
from rereader.cli.page import page
from rereader.cli.report import make_report
from rereader.memory.library import Library
from rereader.models.scripted import ScriptedModel
from rereader.schema import Usage
from rereader.testing.sessions import scripted_models, scripted_session
from rereader.testing.texts import essay, plant

BEFORE = "The town of Hallin gave Brodie a silver watch."
FIRST = "His daughter Ishbel kept the light after him, as <b>keeper</b> & *clerk*."
SECOND = "She wrote down every ship in forty-one green ledgers."
AFTER = "The ledgers burned in 1932, when a store caught fire."
TEXT = "\n\n".join(
    ["The lighthouse stood on the Varr cliffs.", f"{BEFORE} {FIRST} {SECOND} {AFTER}", "Gulls nested there."]
)
REPLY = "Ishbel kept the light after him. She wrote forty-one green ledgers. The moon is made of cheese."
QUESTION = "Who kept the <light> after Brodie, & what did she write?"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "light & <house>.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def run(workspace, source):
    """Id of a run whose answer has two claims that quotes carry and one that none does."""
    models = scripted_models()
    models = type(models)(
        reader=ScriptedModel(lambda prompt: REPLY, name="reader"),
        gister=models.gister,
        scorer=models.scorer,
        embedder=models.embedder,
    )
    session = scripted_session(workspace, models)
    document = session.library.documents.add(TEXT, title=source.name, source=str(source), loader="text/1")
    answer = session.ask(QUESTION, [document.id], settings={"passage_words": 8})
    session.close()
    return answer.run_id


@pytest.fixture
def elements(run, workspace):
    """The page of the run's answer, parsed as a browser would."""
    with Library(workspace) as library:
        found = library.runs.get(run)
        return html5lib.parse(page(make_report(library, found, library.runs.steps(run))), namespaceHTMLElements=False)


def text_of(element):
    return " ".join("".join(element.itertext()).split())


def test_every_claim_has_its_footnotes_and_a_bare_one_says_so(command, run):
    out = command("show", run)[1]
    assert "Ishbel kept the light after him. [1]" in out
    assert re.search(r"She wrote forty-one green ledgers\. \[\d\]", out)
    assert f"The moon is made of cheese. ({UNCARRIED})" in out


def test_quotes_have_the_sentence_before_and_after(command, run):
    out = command("show", run)[1]
    assert f"“{SECOND}”" in out
    line = next(line for line in out.splitlines() if f"“{SECOND}”" in line)
    assert line.strip() == f"{FIRST} “{SECOND}” {AFTER}"


def test_a_pipe_gets_whole_lines_without_colours(command, run, monkeypatch):
    monkeypatch.delenv("COLUMNS")
    out = command("show", run)[1]
    assert f"{FIRST} “{SECOND}” {AFTER}" in out
    assert "\x1b" not in out
    listed = command("runs", "list")[1]
    assert QUESTION in listed


@pytest.mark.parametrize("no_colour", [False, True])
def test_a_terminal_gets_colours_unless_it_wants_none(run, workspace, no_colour):
    main, side = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "60", "LINES": "40"}
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "CI"):
        environment.pop(name, None)
    environment |= {"NO_COLOR": "1"} if no_colour else {}
    process = subprocess.Popen(
        [sys.executable, "-m", "rereader", "show", run], stdout=side, stderr=side, stdin=side, env=environment
    )
    os.close(side)
    shown = b""
    while True:
        try:
            block = os.read(main, 1 << 16)
        except OSError:  # the other side was closed
            break
        if not block:
            break
        shown += block
    os.close(main)
    assert process.wait(60) == 0, shown
    colours = re.findall(rb"\x1b\[(?:\d+;)*3[0-7](?:;\d+)*m", shown)
    assert bool(colours) is not no_colour
    bare = re.sub(rb"\x1b\[[\d;]*m", b"", shown).decode()
    quotes = [line for line in bare.split("cheese")[-1].splitlines() if line.startswith("    ")]
    assert len(quotes) > 3 and max(len(line) for line in quotes) <= 60
    assert UNCARRIED in " ".join(bare.split())


def test_json_is_the_stored_answer(command, run, workspace):
    shown = json.loads(command("show", run, "--json")[1])
    claims = shown["answer"]["claims"]
    text = shown["answer"]["answer"]
    assert [text[claim["start"] : claim["end"]] for claim in claims] == [claim["text"] for claim in claims]
    assert " ".join(claim["text"] for claim in claims) == REPLY
    assert claims[-1]["evidence"] == [] and claims[0]["evidence"] != []
    assert set(claims[0]) == {"text", "start", "end", "evidence"}


def test_markdown_has_footnotes_that_are_defined_once(command, run):
    out = command("show", run, "--markdown")[1]
    used, defined = set(re.findall(r"[^\n]\[\^(\d+)\]", out)), re.findall(r"^\[\^(\d+)\]:", out, re.MULTILINE)
    assert used == set(defined) and len(defined) == len(set(defined)) and used
    shown = unescape(re.sub(r"<[^>]*>", "", MarkdownIt().enable("table").render(out)))
    assert f"{FIRST} “{SECOND}” {AFTER}" in shown
    assert "<b>" not in MarkdownIt().render(out)
    assert "| step | node |" in out
    assert f"*({UNCARRIED})*" in out


@given(st.text(st.sampled_from("ab 1.)#-+=*_[]<>|~^$&\\`!():;x"), max_size=30))
def test_markdown_shows_text_as_it_is(text):
    rendered = MarkdownIt().enable(["table", "strikethrough"]).render(plain(text))
    shown = unescape(re.sub(r"</?p>", "", rendered)).strip()
    assert shown == " ".join(text.split())


def test_markdown_of_ask_has_no_steps_and_excludes_json(command, source):
    code, out, _ = command("ask", source, QUESTION, "--markdown")
    assert code in (0, 4) and out.startswith("# Who kept") and "| step |" not in out
    code, out, err = command("ask", source, QUESTION, "--markdown", "--json")
    assert (code, out) == (2, "") and "cannot be had together" in err


@pytest.mark.parametrize("place", [".", "nowhere/page.html"])
def test_a_page_that_cannot_be_written_is_refused_before_the_run(command, source, tmp_path, place, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = command("ask", source, QUESTION, "--html", place)
    assert code == 2 and "--html" in err
    assert json.loads(command("runs", "list", "--json")[1]) == []


def test_the_page_is_one_file_that_fetches_nothing(elements):
    assert elements.findall(".//script") + elements.findall(".//img") + elements.findall(".//link") == []
    addresses = [a.get("href") for a in elements.iter("a")]
    assert addresses and all(address.startswith("#") for address in addresses)
    style = elements.find(".//style").text
    assert "url(" not in style and "@import" not in style
    assert "prefers-color-scheme: dark" in style and "@media print" in style and "max-width: 30rem" in style
    policies = [meta.get("content") for meta in elements.iter("meta") if meta.get("http-equiv")]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_claims_link_to_quotes_and_back(elements):
    ids = {element.get("id") for element in elements.iter() if element.get("id")}
    links = [a.get("href")[1:] for a in elements.iter("a")]
    assert set(links) <= ids
    assert "quote-1" in links and "claim-1" in links
    first = next(e for e in elements.iter("article") if e.get("id") == "quote-1")
    assert "#claim-1" in [a.get("href") for a in first.iter("a")]
    assert UNCARRIED in text_of(elements.find(".//div[@class='answer']"))


def test_the_page_escapes_text_and_tells_place_context_cost_and_steps(elements, source):
    assert elements.findall(".//b") == []
    assert text_of(elements.find(".//h1")) == QUESTION
    everything = text_of(elements.find(".//main"))
    assert f"{FIRST} {SECOND} {AFTER}" in everything
    assert f"{source.name}, line 3" in everything
    assert "verified" in everything and "tokens" in everything and "scripted" not in everything
    steps = [text_of(row.findall("td")[1]) for row in elements.find(".//table/tbody")]
    assert steps[0] == "chunk" and steps[-1] == "finish"
    marks = [text_of(mark) for mark in elements.iter("mark")]
    assert SECOND in marks


@given(st.text(max_size=40))
def test_any_question_gives_a_whole_page(question):
    from rereader.cli.page import page
    from rereader.cli.report import Report
    from rereader.memory.runs import Run
    from rereader.schema import Budget, Usage

    run = Run(
        id="r",
        question=question,
        graph="g",
        settings={},
        models={},
        budget=Budget(),
        status="interrupted",
        created_at=0.0,
        updated_at=0.0,
        usage=Usage(),
        document_ids=(),
        answer=None,
    )
    parsed = html5lib.parse(page(Report(run, (), (), (), ())), namespaceHTMLElements=False)
    assert "The run has no answer; it is interrupted." in text_of(parsed.find(".//main"))
    assert ElementTree.tostring(parsed)


def test_open_writes_the_page_and_calls_the_browser_at_the_quote(command, run, workspace, monkeypatch, source):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    monkeypatch.setenv("DISPLAY", ":0")
    code, out, _ = command("open", run, "--quote", "2")
    path = workspace / "runs" / f"{run}.html"
    assert (code, out) == (0, "")
    assert opened == [path.as_uri() + "#quote-2"]
    written = path.read_text(encoding="utf-8")
    assert source.as_uri().replace("&", "&amp;") in written
    assert command("open", run, "--print")[1].strip() == str(path)
    assert len(opened) == 1
    source.unlink()
    command("open", run, "--print")
    assert "file://" not in path.read_text(encoding="utf-8")


def test_open_without_a_screen_says_where_the_page_is(command, run, workspace, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(webbrowser, "open", lambda address: pytest.fail("no screen"))
    code, out, err = command("open", run)
    assert (code, out.strip()) == (0, str(workspace / "runs" / f"{run}.html"))
    assert "No browser" in err


def test_open_refuses_a_quote_that_is_not_there(command, run):
    code, out, err = command("open", run, "--quote", "99")
    assert (code, out) == (2, "") and "no quote 99" in err and "numbered 1 to" in err


def test_a_pdf_is_opened_at_the_page(tmp_path):
    from rereader.cli.page import file_links
    from rereader.cli.report import Note, Report
    from rereader.schema import Evidence, Match
    from rereader.tools.surroundings import Surroundings

    path = tmp_path / "a b.pdf"
    path.write_bytes(b"%PDF")
    evidence = Evidence(
        document="a b.pdf", document_id="d", start=0, end=1, quote="x", match=Match.EXACT, verified=True, page="12-13"
    )
    note = Note(1, evidence, Surroundings(), "a b.pdf, p. 12", str(path))
    assert file_links(Report(None, (), (), (note,), ())) == {1: path.as_uri() + "#page=12"}


def test_removing_the_document_removes_the_page(command, run, workspace):
    command("open", run, "--print")
    with Library(workspace) as library:
        [document] = library.documents.all()
        library.remove(document.id)
    assert list((workspace / "runs").glob(f"{run}*")) == []


def test_a_document_cannot_steer_the_terminal(command, tmp_path):
    """Escape sequences, also the eight-bit ones, and what turns a line round come out as replacement characters."""
    path = tmp_path / "evil.txt"
    steer = "\x1b[2J\x1b]52;c;aGk=\x1b\\\x9b31m\u202e\u2066"
    fact = f"The strongbox {steer} of the Ulpelhala office opens with 5265."
    path.write_text(plant(essay(1, 100), [fact]), encoding="utf-8")
    question = "With which number does the strongbox of the Ulpelhala office open?"
    for form in ([], ["--markdown"], ["--json"]):
        code, out, err = command("ask", path, question, *form)
        assert code == 0 and "5265" in out
        assert not set("\x1b\x9b" if form == ["--json"] else "\x1b\x9b\u202e\u2066") & set(out + err)
    assert json.loads(command("ask", path, question, "--json")[1])["evidence"]


def test_an_answer_is_printed_before_its_page_is_written(command, tmp_path):
    path = tmp_path / "book.txt"
    path.write_text(plant(essay(1, 100), ["The strongbox opens with 5265."]), encoding="utf-8")
    for place, words in ((tmp_path / "none" / "a.html", "no folder"), (tmp_path, "is a folder")):
        code, out, err = command("ask", path, "What opens the strongbox?", "--html", place)
        assert (code, out, words in err) == (2, "", True)
    assert json.loads(command("runs", "list", "--json")[1]) == []


def test_a_run_that_cost_nothing_has_no_empty_brackets():
    assert cost(Usage()).endswith("0.0 s")
    assert cost(Usage(seconds={"gate": 0.2})).endswith("0.2 s (gate 0.2)")


def test_settings_that_a_graph_no_longer_has_do_not_stop_a_follow_up(command, workspace, tmp_path):
    path = tmp_path / "book.txt"
    path.write_text(plant(essay(1, 100), ["The strongbox opens with 5265."]), encoding="utf-8")
    command("ask", path, "What opens the strongbox?", "--graph", "retrieval")
    [run] = json.loads(command("runs", "list", "--json")[1])
    with Library(workspace) as library:
        stored = {**library.runs.get(run["id"]).settings, "dense_weight": 1.0}
        library.database.execute("UPDATE runs SET settings = ?", (json.dumps(stored),))
    code, _, err = command("ask", "--run", run["id"], "What does 5265 open?")
    assert code in (0, 4), err
