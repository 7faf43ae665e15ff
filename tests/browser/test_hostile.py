"""Documents and answers that mean harm: nothing runs, nothing is hidden, and nobody gets in without the key."""

import pytest
from browsed import HOSTILE, add_text, ask

pytestmark = [pytest.mark.browser, pytest.mark.allow_hosts(["127.0.0.1"])]
QUESTION = "Who keeps the password? <img src=x onerror='window.hacked = 3'>"
TITLE = "<b onmouseover='window.hacked = 4'>fine</b> \u202eexe.txt"
POLICY_BREACH = "addEventListener('securitypolicyviolation', (event) => { window.breach = event.violatedDirective; })"


@pytest.fixture(scope="module")
def room(serve, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    document = add_text(folder, HOSTILE * 5, TITLE)
    answer = ask(folder, document, "retrieval", QUESTION)
    return serve(folder), document, answer.run_id


def test_no_view_of_it_runs_anything_and_all_marks_are_visible(room, visit):
    served, document, run = room
    visitor = visit(served)
    visitor.page.add_init_script(POLICY_BREACH)
    views = ["/runs", "/documents", f"/documents/{document}", f"/runs/{run}", "/ask", f"/runs/{run}/3?fork=1"]
    for path in [*views, f"/compare/{run}/{run}", "/api"]:
        visitor.open(path)
        visitor.page.wait_for_timeout(300)
        assert visitor.page.evaluate("[window.hacked, window.breach]") == [None, None]
        assert visitor.page.locator("main script, main img, main b[onmouseover]").count() == 0
    visitor.open(f"/documents/{document}")
    visitor.page.wait_for_selector(".slab .odd")
    codes = visitor.page.locator(".slab .odd").evaluate_all("(boxes) => boxes.map((box) => box.dataset.code)")
    assert codes == ["202E", "202C", "0007", "0000", "200B", "2066"] * 5
    assert all(box["width"] > 10 for box in (one.bounding_box() for one in visitor.page.locator(".slab .odd").all()))
    assert visitor.page.locator(".viewer").evaluate("(node) => node.textContent") == HOSTILE * 5
    assert "\u202e" not in visitor.page.title()


def test_what_turns_the_direction_turns_nothing_but_itself(room, visit):
    served, document, _ = room
    visitor = visit(served)
    visitor.open(f"/documents/{document}")
    visitor.page.wait_for_selector(".slab .odd")
    left = visitor.page.evaluate(
        """() => {
          const walker = document.createTreeWalker(document.querySelector(".slab"), NodeFilter.SHOW_TEXT);
          while (walker.nextNode()) {
            if (!walker.currentNode.data.startsWith("egap")) continue;
            const at = (place) => {
              const range = document.createRange();
              range.setStart(walker.currentNode, place);
              range.setEnd(walker.currentNode, place + 1);
              return range.getBoundingClientRect().left;
            };
            return [0, 1, 2, 3].map(at);
          }
        }"""
    )
    assert left == sorted(left)
    assert len(set(left)) == 4


def test_the_highlight_of_a_hostile_quote_is_exact(room, visit):
    served, document, _ = room
    visitor = visit(served)
    start = HOSTILE.index("password") + len(HOSTILE)
    visitor.open(f"/documents/{document}?at={start}-{start + 60}")
    visitor.page.wait_for_selector("mark.target")
    marked = visitor.page.evaluate(
        "[...document.querySelectorAll('mark.target')].map((one) => one.textContent).join('')"
    )
    assert marked == (HOSTILE * 5)[start : start + 60]


def test_without_the_key_the_page_says_how_to_get_in(room, browser):
    served, _, _ = room
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(f"{served.url}/runs")
    assert answer.status == 401
    assert "rereader serve" in page.text_content("body")
    context.close()


def test_when_the_key_is_lost_while_the_page_is_open_it_says_so(room, browser):
    served, _, _ = room
    context = browser.new_context()
    page = context.new_page()
    page.goto(served.entrance)
    page.wait_for_selector("main .room")
    context.clear_cookies()
    page.click("nav a[href='/documents']")
    page.wait_for_selector(".error")
    assert "Open the address that the server printed." in page.text_content(".error")
    context.close()
