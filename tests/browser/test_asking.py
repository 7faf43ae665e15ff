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


def test_a_setting_that_a_step_has_worked_by_is_fixed_in_the_form_of_a_fork(room, visit):
    served, document = room
    parent = ask(served.backend.config.workspace, document, "memory-agent")
    visitor = visit(served)

    def field(name):
        return visitor.page.locator(".fields .field", has=visitor.page.locator(".field-name", has_text=name))

    for number, words in ((1, None), (2, "Fixed by step 2 (read): fork before it to change this.")):
        visitor.open(f"/runs/{parent.run_id}/{number}?fork=1")
        visitor.page.locator("summary", has_text="Settings").click()
        assert field("block_tokens").locator("input").is_disabled() == bool(words)
        assert words is None or words in field("block_tokens").text_content()
    assert field("evidence_words").locator("input").is_enabled()
