"""A run as one file: the same page, opened from the disk without a server."""

import pytest
from browsed import add_text, ask, chronicle

from rereader.memory.library import Library
from rereader.server.offline import offline_page

pytestmark = [pytest.mark.browser, pytest.mark.allow_hosts(["127.0.0.1"])]
TEXT = chronicle()


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("offline")
    document = add_text(folder, TEXT, "chronicle.txt")
    answer = ask(folder, document, "ledger")
    file = folder / "run.html"
    with Library(folder) as library:
        file.write_text(offline_page(library, library.runs.get(answer.run_id)), encoding="utf-8")
    return file, answer


@pytest.fixture
def page(browser, room):
    context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=True)
    found = context.new_page()
    complaints = []
    found.on("console", lambda message: complaints.append(message.text) if message.type != "info" else None)
    found.on("pageerror", lambda error: complaints.append(str(error)))
    found.on("request", lambda request: complaints.append(request.url) if request.url.startswith("http") else None)
    found.goto(room[0].as_uri())
    found.wait_for_selector(".step[data-shown]")
    yield found
    context.close()
    assert complaints == []


def test_it_is_walked_through_and_keeps_its_step_over_a_reload(page):
    page.focus(".slider input")
    page.keyboard.press("Home")
    page.wait_for_selector(".step[data-shown='1']")
    page.keyboard.press("j")
    page.wait_for_selector(".step[data-shown='2']")
    assert page.url.endswith("/2")
    page.reload()
    page.wait_for_selector(".step[data-shown='2']")


def test_a_claim_lands_on_its_quote(page, room):
    _, answer = room
    quote = answer.evidence[next(claim.evidence[0] for claim in answer.claims if claim.evidence)]
    page.click(".answer .claim[role=button]")
    page.wait_for_selector("mark.target")
    marked = page.locator("mark.target").evaluate_all("(all) => all.map((one) => one.textContent).join('')")
    assert marked == quote.quote == TEXT[quote.start : quote.end]


def test_it_offers_nothing_that_needs_a_server(page):
    assert page.locator("nav a:visible").count() == 0
    assert page.locator(".actions").count() == 0
    page.click("text=What each claim rests on")
    page.wait_for_selector("text=taken up at")
    page.wait_for_selector(".strip canvas[aria-label]")
