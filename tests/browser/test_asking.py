"""What is done from the page: documents added and removed, questions asked and watched, runs stopped and forked."""

import re

import pytest
from browsed import QUESTION, add_text, ask, chronicle

pytestmark = [pytest.mark.browser, pytest.mark.allow_hosts(["127.0.0.1"])]
SLOWLY = 0.25


@pytest.fixture(scope="module")
def room(serve, tmp_path_factory):
    folder = tmp_path_factory.mktemp("asking")
    document = add_text(folder, chronicle(), "chronicle.txt")
    return serve(folder, seconds=SLOWLY), document


def fill_in(visitor, question, graph="memory-agent", **settings):
    visitor.open("/ask")
    visitor.page.fill("textarea[aria-label=Question]", question)
    visitor.page.get_by_role("checkbox").first.check()
    visitor.page.select_option("select[aria-label=Graph]", graph)
    visitor.page.get_by_text("Settings", exact=True).click()
    for name, value in settings.items():
        visitor.page.locator("label.field", has=visitor.page.get_by_text(name, exact=True)).locator("input").fill(value)


def send(visitor):
    visitor.page.get_by_role("button", name="Ask", exact=True).click()


def test_a_question_is_watched_from_its_estimate_to_its_answer(room, visit):
    served, _ = room
    visitor = visit(served)
    fill_in(visitor, QUESTION, block_tokens="600")
    visitor.page.get_by_role("button", name="Estimate the cost").click()
    visitor.page.wait_for_selector("text=model calls")
    send(visitor)
    visitor.page.wait_for_selector(".job progress")
    assert re.search(r"/ask\?job=\w+$", visitor.path())
    visitor.page.wait_for_selector(".job .stage:not(:empty)")
    visitor.page.wait_for_selector(".steps li:nth-child(2)")
    steps = visitor.page.locator(".steps li").all_text_contents()
    assert "read" in " ".join(steps)
    visitor.page.wait_for_url(re.compile(r"/runs/\w+"))
    visitor.page.wait_for_selector(".answer")
    run = served.backend.library.runs.get(visitor.path().split("/")[2].split("?")[0])
    assert run.question == QUESTION
    assert run.settings["block_tokens"] == 600
    assert run.answer.answer in visitor.page.text_content(".answer")


def test_a_run_is_watched_on_its_own_page_while_its_steps_come(room, visit):
    served, _ = room
    visitor = visit(served)
    fill_in(visitor, "Who took the mill in 1801?", block_tokens="400")
    send(visitor)
    visitor.page.click(".steps li a")
    visitor.page.wait_for_selector(".track-bar .step-name")
    visitor.page.wait_for_selector(".job")
    before = int(visitor.page.get_attribute(".slider input", "max"))
    visitor.page.wait_for_function(
        "(before) => Number(document.querySelector('.slider input').max) > before", arg=before
    )
    visitor.page.wait_for_selector(".answer")
    visitor.page.wait_for_selector(".job", state="detached")
    assert "answered" in visitor.page.text_content(".standing") or "declined" in visitor.page.text_content(".standing")


def test_a_run_that_is_stopped_can_be_resumed(room, visit):
    served, _ = room
    visitor = visit(served)
    fill_in(visitor, "Who took the mill in 1850?", block_tokens="300")
    send(visitor)
    visitor.page.wait_for_selector(".steps li:nth-child(2)")
    visitor.page.get_by_role("button", name="Stop").click()
    visitor.page.wait_for_selector(".job[data-state=stopped]")
    visitor.page.get_by_role("link", name="See the run").click()
    visitor.page.get_by_role("button", name="Resume").click()
    visitor.page.wait_for_selector(".job")
    visitor.page.wait_for_selector(".answer")
    visitor.page.wait_for_selector(".job", state="detached")


def test_a_fork_with_an_edited_record_ends_at_the_comparison_with_its_parent(room, visit):
    served, document = room
    parent = ask(served.backend.config.workspace, document, "memory-agent")
    steps = served.backend.library.runs.steps(parent.run_id)
    number = next(step.number for step in steps if step.node == "read")
    visitor = visit(served)
    visitor.open(f"/runs/{parent.run_id}/{number}")
    visitor.page.get_by_role("link", name=f"Fork from step {number}").click()
    visitor.page.fill("textarea[aria-label='Text of the note']", "Kormel lodges with the widow Tamwenis.")
    visitor.page.get_by_role("button", name="Start the fork").click()
    visitor.page.wait_for_url(re.compile(rf"/compare/{parent.run_id}/\w+"))
    visitor.page.wait_for_selector("[data-side='1'] .step[data-shown]")
    fork = served.backend.library.runs.get(visitor.path().split("/")[3].split("?")[0])
    assert (fork.parent, fork.forked_at) == (parent.run_id, number)
    assert visitor.page.get_by_role("button", name=f"at step {number + 1}").count() == 1
    shown = visitor.page.get_attribute("[data-side='1'] .step", "data-shown")
    assert int(shown) == number + 1
    assert "the widow Tamwenis" in visitor.page.text_content("[data-side='1'] .memory")


def test_where_a_change_would_come_too_late_a_fork_from_the_last_open_step_is_offered(room, visit):
    served, document = room
    parent = ask(served.backend.config.workspace, document, "memory-agent")
    steps = served.backend.library.runs.steps(parent.run_id)
    decided = next(step.number for step in steps if step.node == "answer")
    visitor = visit(served)
    link = visitor.page.get_by_role("link", name=f"Fork from step {decided - 1}", exact=True)
    for number, late in ((decided - 1, False), (decided, True), (decided + 1, True)):
        visitor.open(f"/runs/{parent.run_id}/{number}")
        assert ("too late" in link.get_attribute("title")) == late
    link.click()
    visitor.page.fill("textarea[aria-label=Question]", "Who took the mill in 1801?")
    visitor.page.get_by_role("button", name="Start the fork").click()
    visitor.page.wait_for_url(re.compile(rf"/compare/{parent.run_id}/\w+"))


def test_a_job_that_was_stopped_is_dismissed(room, visit):
    served, _ = room
    visitor = visit(served)
    fill_in(visitor, "Who took the mill in 1860?", block_tokens="300")
    send(visitor)
    visitor.page.wait_for_selector(".steps li")
    visitor.page.click("nav a[href='/runs']")
    visitor.page.wait_for_selector("text=Watch its steps")
    assert visitor.page.get_by_role("button", name="Dismiss").count() == 0
    visitor.page.get_by_role("button", name="Stop").click()
    visitor.page.wait_for_selector(".job[data-state=stopped]")
    assert visitor.page.get_by_text("Watch its steps").count() == 0
    visitor.page.get_by_role("button", name="Dismiss").click()
    visitor.page.wait_for_selector(".job", state="detached")


def test_a_card_names_what_is_done_when_there_is_no_progress_to_tell(room, visit):
    served, _ = room
    visitor = visit(served)
    visitor.open("/ask")
    told = visitor.page.evaluate(
        """async () => {
          const { JobCard } = await import("/static/jobcard.js");
          const job = { id: "x", kind: "ask", state: "waiting", place: 1, run: null, progress: null, warnings: [] };
          const card = new JobCard({ ...job }, () => {});
          const stage = () => card.element.querySelector(".stage").textContent;
          const found = [stage()];
          card.show({ ...job, state: "working" });
          found.push(stage());
          card.step({ node: "read_block" });
          found.push(stage());
          card.progress({ stage: "generate", done: 3, total: 10, tokens_per_second: 5, eta_seconds: 9 });
          found.push(stage());
          card.step({ node: "answer" });
          return [...found, stage(), card.element.querySelector(".bar + .small, .stage + .small").textContent];
        }"""
    )
    assert told == ["", "loading models…", "read block", "generate: 3 of 10", "answer", ""]


def test_two_sliders_move_together_when_they_are_linked(room, visit):
    served, document = room
    runs = [ask(served.backend.config.workspace, document, graph).run_id for graph in ("ledger", "retrieval")]
    visitor = visit(served)
    visitor.open(f"/compare/{runs[0]}/{runs[1]}?a=1&b=1")
    first, second = (visitor.page.locator(f"[data-side='{side}'] .step") for side in (0, 1))
    visitor.page.focus("[data-side='0'] .slider input")
    visitor.page.keyboard.press("j")
    visitor.page.wait_for_selector("[data-side='0'] .step[data-shown='2']")
    assert second.get_attribute("data-shown") == "1"
    visitor.page.get_by_label("move both sliders together").check()
    visitor.page.focus("[data-side='1'] .slider input")
    visitor.page.keyboard.press("ArrowRight")
    visitor.page.keyboard.press("ArrowRight")
    visitor.page.wait_for_selector("[data-side='0'] .step[data-shown='4']")
    assert first.get_attribute("data-shown") == second.get_attribute("data-shown") == "4"
    assert visitor.path().endswith("?a=4&b=4&linked=1")
    visitor.page.reload()
    visitor.page.wait_for_selector("[data-side='1'] .step[data-shown='4']")


def test_a_file_is_added_searched_and_removed(room, visit, tmp_path):
    served, _ = room
    file = tmp_path / "letters.txt"
    file.write_text("Dear Brisk,\nthe heron \U0001f426 came back to the weir.\n" * 40, encoding="utf-8")
    visitor = visit(served)
    visitor.open("/documents")
    visitor.page.set_input_files("input[type=file]", file)
    visitor.page.click("a:has-text('letters')")
    visitor.page.wait_for_selector(".viewer .slab:not(:empty)")
    visitor.page.fill("input[type=search]", "heron")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_selector("mark.hit")
    assert visitor.page.locator("mark.hit").first.evaluate("(mark) => getComputedStyle(mark).display") == "inline"
    visitor.page.click("button.hit >> nth=0")
    visitor.page.wait_for_selector("mark.target")
    assert "heron" in "".join(visitor.page.locator("mark.target").all_text_contents())
    visitor.open("/documents")
    asked = []
    visitor.page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
    visitor.page.locator("tr", has_text="letters").get_by_role("button", name="Remove").click()
    visitor.page.wait_for_selector("tr:has-text('letters')", state="detached")
    assert "letters" in asked[0]
    assert [one.title for one in served.backend.library.documents.all()] == ["chronicle.txt"]


def test_an_answer_that_cannot_be_had_says_why(room, visit):
    served, _ = room
    visitor = visit(served)
    fill_in(visitor, QUESTION, block_tokens="600")
    visitor.page.get_by_text("Limits", exact=True).click()
    visitor.page.locator("label.field", has_text="Model calls").locator("input").fill("1")
    send(visitor)
    visitor.page.wait_for_url(re.compile(r"/runs/\w+"))
    visitor.page.wait_for_selector(".standing >> text=budget spent")


def test_the_list_of_runs_is_a_tree_that_can_be_filtered(room, visit):
    served, _ = room
    visitor = visit(served)
    visitor.open("/runs")
    fork = next(run for run in served.backend.library.runs.all() if run.forked_at)
    rows = visitor.page.locator("tr[data-run]")
    names = rows.evaluate_all("(rows) => rows.map((row) => row.dataset.run)")
    assert names.index(fork.id) > names.index(fork.parent)
    assert f"fork at {fork.forked_at}" in visitor.page.text_content(f"tr[data-run='{fork.id}']")
    visitor.page.fill("input[type=search]", "1850 memory-agent")
    assert rows.count() == 1
    visitor.page.fill("input[type=search]", "no such run")
    visitor.page.wait_for_selector("text=No run matches the filter.")
