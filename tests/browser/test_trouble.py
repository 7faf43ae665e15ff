"""What the page says when something is not there, went wrong, or has stopped."""

import pytest
from browsed import add_text, ask, chronicle

from rereader.memory.library import Library
from rereader.schema import Budget
from rereader.testing.serving import serving

pytestmark = [pytest.mark.browser, pytest.mark.allow_hosts(["127.0.0.1"])]


@pytest.fixture
def page(browser):
    context = browser.new_context()
    context.set_default_timeout(20_000)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("trouble")
    run = ask(found, add_text(found, chronicle(), "chronicle.txt")).run_id
    with Library(found) as library:
        library.runs.update(run, status="failed", failure="The model ran out of <b>memory</b>.")
    return found


def test_what_is_not_there_is_said_to_be_not_there(page, folder):
    with serving(folder) as served:
        page.goto(served.entrance)
        for path, said in (("/runs/nothing", "There is no run 'nothing'"), ("/documents/nothing", "nothing")):
            page.goto(served.url + path)
            page.wait_for_selector(".error[role=alert]")
            assert said in page.text_content(".error")
        page.goto(f"{served.url}/runs/nothing/nowhere")
        page.wait_for_selector("h1:has-text('There is nothing here')")
        assert page.goto(f"{served.url}/nowhere/at/all").status == 404
        page.wait_for_selector("h1:has-text('There is nothing here')")
        page.click("nav a[href='/documents']")
        page.wait_for_selector("h1:has-text('Documents')")


def test_a_run_that_failed_says_why_and_offers_to_go_on(page, folder):
    with serving(folder) as served:
        page.goto(served.entrance)
        page.goto(f"{served.url}/runs/{served.backend.library.runs.all()[0].id}")
        page.wait_for_selector("text=The model ran out of <b>memory</b>.")
        assert page.get_by_role("button", name="Resume").is_visible()


def test_only_a_failed_run_with_steps_is_said_to_have_found_something(page, tmp_path):
    document = add_text(tmp_path, chronicle(), "chronicle.txt")
    runs = [ask(tmp_path, document, "retrieval").run_id, "00000000-0000-4000-8000-00000000dead"]
    with Library(tmp_path) as library:
        whole = library.runs.get(runs[0])
        library.runs.create(
            runs[1],
            question="What?",
            graph="retrieval",
            settings={},
            models={},
            budget=Budget(),
            document_ids=list(whole.document_ids),
        )
        for run in runs:
            library.runs.update(run, status="failed", failure="The model is gone.")
        library.database.execute("UPDATE runs SET answer = NULL")
    with serving(tmp_path) as served:
        page.goto(served.entrance)
        for run, told in zip(runs, (1, 0), strict=True):
            page.goto(f"{served.url}/runs/{run}")
            page.wait_for_selector("text=The model is gone.")
            assert page.locator("text=What it has found is kept").count() == told


def test_a_workspace_without_anything_says_what_to_do_first(page, tmp_path):
    with serving(tmp_path) as served:
        page.goto(served.entrance)
        for path, said in (("/runs", "no runs yet"), ("/documents", "no documents yet"), ("/ask", "no documents yet")):
            page.goto(served.url + path)
            page.wait_for_selector(".empty")
            assert said in page.text_content(".empty")


def test_when_the_server_stops_the_page_says_so_and_finds_back(page, folder):
    with serving(folder) as served:
        page.goto(served.entrance)
        page.wait_for_selector("tr[data-run]")
        port = int(served.url.rpartition(":")[2])
    page.wait_for_selector("#lost:visible")
    page.click("nav a[href='/documents']")
    page.wait_for_selector("text=The server does not answer.")
    with serving(folder, port=port) as served:
        page.context.clear_cookies()
        page.goto(served.entrance)
        page.goto(f"{served.url}/documents")
        page.wait_for_selector("a:has-text('chronicle.txt')")
        assert page.is_hidden("#lost")
