"""One run on the page: its steps under a slider, its claims and the characters they rest on."""

import pytest
from browsed import add_text, ask, chronicle
from long_runs import RUN, write_long_run

from rereader.cli.report import make_report
from rereader.memory.library import Library

pytestmark = [pytest.mark.browser, pytest.mark.allow_hosts(["127.0.0.1"])]
TEXT = chronicle()


@pytest.fixture(scope="module")
def room(serve, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reading")
    document = add_text(folder, TEXT, "chronicle.txt")
    answers = {
        graph: ask(folder, document, graph) for graph in ("retrieval", "ledger", "memory-agent", "evidence-replay")
    }
    return serve(folder), document, answers


def shown_step(visitor):
    return int(visitor.page.get_attribute(".step", "data-shown"))


def press(visitor, key, step):
    visitor.page.keyboard.press(key)
    visitor.page.wait_for_selector(f".step[data-shown='{step}']")


def wait_for_target(visitor, text):
    marked = "[...document.querySelectorAll('.viewer mark.target')].map((mark) => mark.textContent).join('')"
    visitor.page.wait_for_function(f"(text) => {marked} === text", arg=text)


def test_the_slider_is_worked_by_the_keyboard_and_the_address_names_the_step(room, visit):
    served, _, answers = room
    run = answers["ledger"].run_id
    visitor = visit(served)
    visitor.open(f"/runs/{run}/1")
    last = visitor.page.evaluate(f"fetch('/api/runs/{run}').then((answer) => answer.json()).then((told) => told.steps)")
    press(visitor, "ArrowRight", 2)
    press(visitor, "j", 3)
    press(visitor, "k", 2)
    visitor.page.keyboard.press("End")
    visitor.page.focus(".slider input")
    assert shown_step(visitor) == 2
    press(visitor, "End", last)
    press(visitor, "PageUp", max(1, last - 10))
    press(visitor, "Home", 1)
    press(visitor, "ArrowRight", 2)
    assert visitor.path() == f"/runs/{run}/2"
    visitor.page.reload()
    visitor.settle()
    assert visitor.path() == f"/runs/{run}/2"
    assert shown_step(visitor) == 2
    assert visitor.page.get_attribute(".slider input", "aria-valuetext").startswith(f"step 2 of {last}: ")


def test_every_step_shows_its_node_and_what_the_run_had_cost_up_to_it(room, visit):
    served, _, answers = room
    run = served.backend.library.runs.get(answers["ledger"].run_id)
    visitor = visit(served)
    visitor.open(f"/runs/{run.id}/1")
    total = 0
    for step in served.backend.library.runs.steps(run.id):
        total += step.usage.total_tokens
        visitor.page.wait_for_selector(f".step[data-shown='{step.number}']")
        assert visitor.page.text_content(".step .facts dd") == step.node
        assert f"{total:,} tokens" in visitor.page.text_content(".step .facts")
        visitor.page.keyboard.press("j")


def test_a_finished_run_opens_at_the_quote_that_its_answer_rests_on(room, visit):
    served, _, answers = room
    visitor = visit(served)
    for graph in ("retrieval", "ledger"):
        answer = answers[graph]
        quote = answer.evidence[next(claim.evidence[0] for claim in answer.claims if claim.evidence)]
        visitor.open(f"/runs/{answer.run_id}")
        wait_for_target(visitor, TEXT[quote.start : quote.end])


@pytest.mark.parametrize("graph", ["retrieval", "ledger", "evidence-replay"])
def test_a_claim_lands_on_exactly_the_characters_of_its_quote(room, visit, graph):
    served, _, answers = room
    answer = answers[graph]
    claim = next(claim for claim in answer.claims if claim.evidence)
    quote = answer.evidence[claim.evidence[0]]
    visitor = visit(served)
    visitor.open(f"/runs/{answer.run_id}")
    visitor.page.click(".answer .claim[role=button]")
    visitor.page.wait_for_selector(".viewer mark.target")
    marked = "".join(visitor.page.locator(".viewer mark.target").all_text_contents())
    assert marked == TEXT[quote.start : quote.end] == quote.quote
    assert visitor.page.locator(".viewer mark.target").first.evaluate(
        "(mark) => { const box = mark.getBoundingClientRect(); return box.top >= 0 && box.bottom <= innerHeight; }"
    )
    assert f"at={quote.start}-{quote.end}" in visitor.path()


def test_a_quote_in_the_address_is_shown_after_a_reload_and_back_leads_to_the_step_before(room, visit):
    served, document, answers = room
    run = answers["retrieval"].run_id
    visitor = visit(served)
    visitor.open(f"/runs/{run}/2?doc={document}&at=9000-9040")
    wait_for_target(visitor, TEXT[9000:9040])
    quote = answers["retrieval"].evidence[answers["retrieval"].claims[0].evidence[0]]
    visitor.page.click(".answer .claim[role=button]")
    wait_for_target(visitor, quote.quote)
    visitor.page.go_back()
    wait_for_target(visitor, TEXT[9000:9040])
    assert visitor.path().endswith("at=9000-9040")
    assert shown_step(visitor) == 2


def test_a_claim_can_be_opened_by_the_keyboard(room, visit):
    served, _, answers = room
    visitor = visit(served)
    visitor.open(f"/runs/{answers['retrieval'].run_id}")
    visitor.page.focus(".answer .claim[role=button]")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_function("() => document.activeElement.matches('.viewer mark.target')")
    visitor.page.wait_for_timeout(1_000)  # marks that come later take the focus away from nobody
    assert visitor.page.evaluate("document.activeElement.matches('.viewer mark.target')")


def test_a_memory_that_was_written_anew_is_shown_word_by_word(serve, visit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rewritten")
    with Library(folder) as library:
        write_long_run(library, steps=30)
    visitor = visit(serve(folder))
    visitor.open(f"/runs/{RUN}/12")
    visitor.page.wait_for_selector(".step[data-shown='12']")
    assert visitor.page.text_content(".superseded del") == "11"
    assert visitor.page.text_content(".superseded ins") == "12"
    assert visitor.page.locator(".memory .entry.added").count() == 1
    assert "12 entries before, 13 after" in visitor.page.text_content(".memory h3")
    visitor.page.click(".memory summary")
    visitor.page.wait_for_selector(".memory .entry.kept")
    assert visitor.page.locator(".memory .entry.kept").count() == 11


def test_prompts_keep_text_of_documents_apart(room, visit):
    served, _, answers = room
    visitor = visit(served)
    run = answers["memory-agent"].run_id
    visitor.open(f"/runs/{run}/2")
    visitor.page.wait_for_selector(".call .piece.outside")
    outside = " ".join(visitor.page.locator(".call .piece.outside").all_text_contents())
    ours = " ".join(visitor.page.locator(".call .piece:not(.outside)").all_text_contents())
    assert "In the year 1700" in outside
    assert "In the year 1700" not in ours
    assert visitor.page.text_content(".call .reply")


def test_the_strip_counts_every_chunk_once_and_opens_the_one_that_is_pointed_at(room, visit):
    served, _, answers = room
    visitor = visit(served)
    visitor.open(f"/runs/{answers['ledger'].run_id}")
    visitor.page.wait_for_selector(".strip canvas[aria-label]")
    counts = [int(text.replace(",", "")) for text in visitor.page.locator(".legend b").all_text_contents()]
    label = visitor.page.get_attribute(".strip canvas", "aria-label")
    assert label.startswith(f"{sum(counts)} stretches")
    assert counts[-1] > 0
    visitor.page.focus(".strip canvas")
    visitor.page.keyboard.press("ArrowRight")
    visitor.page.keyboard.press("ArrowRight")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_selector("mark.target")
    assert visitor.page.text_content(".strip-told").startswith("chronicle.txt, chunk 1, ")


def test_the_legend_shows_the_signs_of_the_strip(room, visit):
    served, _, answers = room
    visitor = visit(served)
    visitor.open(f"/runs/{answers['ledger'].run_id}")
    visitor.page.wait_for_selector(".strip canvas[aria-label]")
    keys, strip = visitor.page.evaluate(
        """() => {
          const columns = (canvas, top) => {
            const { width } = canvas;
            const { data } = canvas.getContext("2d").getImageData(0, top, width, 18);
            const pixel = (x, y) => data.slice((y * width + x) * 4, (y * width + x) * 4 + 4).join();
            const column = (x) => Array.from({ length: 18 }, (_, y) => pixel(x, y));
            const found = Array.from({ length: width }, (_, x) => column(x));
            return found.filter((one) => one.some((colour) => colour !== "0,0,0,0")).map((one) => one.join(" "));
          };
          const strip = document.querySelector(".strip-room canvas");
          const rows = Array.from({ length: Math.floor(strip.height / 22) }, (_, row) => columns(strip, row * 22));
          const keys = [...document.querySelectorAll(".legend canvas")].map((canvas) => columns(canvas, 0));
          return [keys.map((key) => [...new Set(key)]), [...new Set(rows.flat())]];
        }"""
    )
    counts = [int(text.replace(",", "")) for text in visitor.page.locator(".legend b").all_text_contents()]
    assert [len(key) for key in keys] == [1] * len(counts)
    assert len({key[0] for key in keys}) == len(counts)
    assert {key[0] for key, count in zip(keys, counts, strict=True) if count} == set(strip)


def test_the_gate_s_decisions_sort_by_any_column(room, visit):
    served, _, answers = room
    run = answers["ledger"].run_id
    step = next(one for one in served.backend.library.runs.steps(run) if one.detail.get("decisions"))
    visitor = visit(served)
    visitor.open(f"/runs/{run}/{step.number}")
    head = visitor.page.locator("th", has_text="Chunk")
    head.locator("button").click()
    chunks = [int(text) for text in visitor.page.locator("td.figure:nth-child(2)").all_text_contents()]
    assert chunks == sorted(chunk for _, chunk, *_ in step.detail["decisions"])
    assert head.get_attribute("aria-sort") in ("ascending", "descending")


def test_the_course_of_a_fact_names_the_step_that_knew_it_first(room, visit):
    served, _, answers = room
    visitor = visit(served)
    visitor.open(f"/runs/{answers['ledger'].run_id}")
    visitor.page.fill("input[aria-label='A fact']", "lodges with Tamwenis")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_selector("text=First known after")
    button = visitor.page.locator("section[aria-label='Course of a fact'] p button").first
    number = int(button.text_content().removeprefix("step "))
    button.click()
    visitor.page.wait_for_selector(f".step[data-shown='{number}']")
    assert visitor.page.locator(".memory .entry.added", has_text="lodges with Tamwenis").count() == 1


def test_attention_colours_the_source_of_a_run_that_kept_it(room, visit):
    served, _, answers = room
    visitor = visit(served)
    visitor.open(f"/runs/{answers['evidence-replay'].run_id}")
    visitor.page.get_by_label("attention", exact=True).check()
    visitor.page.wait_for_selector("mark.heat-4")
    visitor.open(f"/runs/{answers['ledger'].run_id}")
    visitor.page.get_by_label("attention", exact=True).click()
    visitor.page.wait_for_selector("text=This run keeps no attention scores")


def test_quotes_have_the_numbers_of_the_command_line(room, visit):
    served, _, answers = room
    answer = answers["ledger"]
    with Library(served.backend.config.workspace) as library:
        report = make_report(library, library.runs.get(answer.run_id))
    notes = [*report.cited, *report.others]
    visitor = visit(served)
    visitor.open(f"/runs/{answer.run_id}")
    visitor.page.locator("summary", has_text="that it was written from").click()
    for note in notes:
        assert visitor.page.text_content(f"#quote-{note.number} blockquote") == note.evidence.quote
    cited = [str(number) for piece in report.pieces for number in piece.notes]
    assert visitor.page.locator(".cite").all_text_contents() == cited
    assert [note.evidence for note in notes] != answer.evidence  # else both orders would pass


def test_a_quote_runs_on_over_its_line_ends_and_is_copied_with_them(serve, visit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lines")
    text = "The ferryman  of\nUlpelhala lodges\nwith Tamwenis."
    answer = ask(folder, add_text(folder, text, "lines.txt"))
    visitor = visit(serve(folder))
    visitor.open(f"/runs/{answer.run_id}")
    quote = visitor.page.locator("blockquote .quoted")
    assert quote.inner_text() == " ".join(text.split())
    quote.evaluate("(node) => getSelection().selectAllChildren(node)")
    heard = "document.addEventListener('copy', (event) => { window.copied = event.clipboardData.getData('text'); })"
    visitor.page.evaluate(f"() => {{ {heard}; }}")
    visitor.page.keyboard.press("Control+c")
    assert visitor.page.evaluate("window.copied") == text == answer.evidence[0].quote


def test_a_fork_that_begins_before_the_step_that_is_shown_says_why(room, visit):
    served, _, answers = room
    run = answers["ledger"].run_id
    steps = served.backend.library.runs.steps(run)
    answered = next(step.number for step in steps if step.node == "answer")
    visitor = visit(served)
    visitor.open(f"/runs/{run}/{steps[-1].number}")
    why = visitor.page.locator(f"#{visitor.page.get_attribute('a.button >> nth=0', 'aria-describedby')}")
    assert visitor.page.get_by_role("link", name=f"Fork from step {answered - 1}").count() == 1
    assert why.text_content() == f"The answer is decided at step {answered}: a change has to go in before it."
    visitor.open(f"/runs/{run}/{answered - 1}")
    visitor.page.wait_for_selector(f"text=Fork from step {answered - 1}")
    assert why.is_hidden()
