"""How the page looks and is worked: narrow and wide, light and dark, by the keyboard and by readers of the screen."""

import pytest
from browsed import add_text, ask, chronicle

pytestmark = [pytest.mark.browser, pytest.mark.allow_hosts(["127.0.0.1"])]
_UNNAMED = """[...document.querySelectorAll("a[href], button, input, select, textarea, canvas, progress")]
  .filter((node) => !node.hasAttribute("aria-hidden"))
  .filter((node) => node.getClientRects().length)
  .filter((node) => !(node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length || node.title))
  .map((node) => node.outerHTML)"""
_CONTRAST = """() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, place) => sum + c * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const found = channels(getComputedStyle(one).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
  };
  const faults = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    const apart = node.closest("[disabled], .unseen, .skip, canvas, .odd, .key");
    if (!own || apart || !node.getClientRects().length) continue;
    const [front, back] = [light(channels(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (ratio < 4.5) faults.push(`${ratio.toFixed(2)} ${node.outerHTML.slice(0, 120)}`);
  }
  return faults;
}"""


@pytest.fixture(scope="module")
def room(serve, tmp_path_factory):
    folder = tmp_path_factory.mktemp("looks")
    document = add_text(folder, chronicle() + "w" * 300, "a" * 120)
    runs = [ask(folder, document, graph).run_id for graph in ("ledger", "memory-agent")]
    views = ["/runs", "/documents", f"/documents/{document}", f"/runs/{runs[0]}", f"/runs/{runs[1]}/2"]
    views += ["/ask", f"/runs/{runs[0]}/8?fork=1", f"/compare/{runs[0]}/{runs[1]}", "/api"]
    return serve(folder), views


@pytest.mark.parametrize(("width", "height"), [(360, 740), (768, 1024), (1280, 800), (1920, 1080)])
def test_no_view_scrolls_sideways(room, visit, width, height):
    served, views = room
    visitor = visit(served, width=width, height=height)
    for path in views:
        visitor.open(path)
        for summary in visitor.page.locator("main summary").all()[:12]:
            summary.click()
        visitor.page.wait_for_timeout(200)
        assert (path, visitor.overflow()) == (path, 0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(room, visit, scheme):
    served, views = room
    visitor = visit(served, scheme=scheme)
    for path in views:
        visitor.open(path)
        visitor.page.wait_for_timeout(200)
        assert (path, visitor.page.evaluate(_CONTRAST)) == (path, [])


def test_dark_is_dark_and_the_choice_outlives_the_page(room, visit):
    served, _ = room
    visitor = visit(served, scheme="dark")
    behind = "getComputedStyle(document.body).backgroundColor"
    visitor.open("/runs")
    dark = visitor.page.evaluate(behind)
    visitor.page.click("#theme")
    assert visitor.page.text_content("#theme") == "Colours: light"
    light = visitor.page.evaluate(behind)
    assert light != dark
    visitor.page.reload()
    visitor.settle()
    assert visitor.page.evaluate(behind) == light
    visitor.page.click("#theme")
    assert visitor.page.evaluate(behind) == dark


def test_whatever_can_be_worked_has_a_name(room, visit):
    served, views = room
    visitor = visit(served)
    for path in views:
        visitor.open(path)
        assert (path, visitor.page.evaluate(_UNNAMED)) == (path, [])
        assert visitor.page.locator("main h1").count() == 1
        assert visitor.page.evaluate("document.title").endswith(" · Rereader")


def test_the_keyboard_goes_through_the_page_and_shows_where_it_is(room, visit):
    served, views = room
    visitor = visit(served)
    visitor.open(views[3])
    visitor.page.keyboard.press("Tab")
    assert visitor.page.evaluate("document.activeElement.className") == "skip"
    seen = []
    for _ in range(25):
        visitor.page.keyboard.press("Tab")
        seen.append(visitor.page.evaluate("document.activeElement.outerHTML.slice(0, 80)"))
        assert visitor.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert any("range" in one for one in seen)
    assert any("canvas" in one for one in seen)


def test_a_view_that_is_gone_to_has_the_focus_and_is_announced(room, visit):
    served, _ = room
    visitor = visit(served)
    visitor.open("/runs")
    visitor.page.click("nav a[href='/documents']")
    visitor.page.wait_for_selector("h1:has-text('Documents')")
    visitor.page.wait_for_function("() => document.getElementById('announcer').textContent.startsWith('Documents')")
    assert visitor.page.evaluate("document.activeElement.id") == "view"
    assert visitor.page.get_attribute("nav a[href='/documents']", "aria-current") == "page"
    visitor.page.go_back()
    visitor.page.wait_for_selector("h1:has-text('Runs')")


def test_the_api_view_lists_every_operation(room, visit):
    served, _ = room
    visitor = visit(served)
    visitor.open("/api")
    paths = visitor.page.evaluate("fetch('/openapi.json').then((answer) => answer.json()).then((told) => told.paths)")
    listed = visitor.page.locator(".operations summary").all_text_contents()
    assert len(listed) == sum(len(methods) for methods in paths.values())
    visitor.page.locator(".operations summary", has_text="/forks").click()
    visitor.page.wait_for_selector("td:has-text('edits')")
    visitor.page.wait_for_selector("p:has-text('Answers with Accepted.')")
    visitor.page.locator(".operations summary", has_text="/steps/").click()
    visitor.page.wait_for_selector(".operations .fields li:has-text('calls array of CallTold')")


def test_a_narrow_window_cuts_no_placeholder_and_parts_a_choice_from_its_button(room, visit):
    served, views = room
    visitor = visit(served, width=390, height=844)
    visitor.open("/runs")
    field = "document.querySelector('input[type=search]')"
    assert visitor.page.evaluate(
        f"(() => {{ {field}.value = {field}.placeholder; return {field}.scrollWidth <= {field}.clientWidth; }})()"
    )
    visitor.open("/documents")
    assert " characters" in visitor.page.locator(".listing tbody tr").first.inner_text()
    visitor.open(views[3])
    visitor.page.get_by_role("button", name="Compare with…").click()
    choice = visitor.page.locator("select[aria-label='The other run']").bounding_box()
    compare = visitor.page.get_by_role("button", name="Compare", exact=True).bounding_box()
    beside, below = compare["x"] - choice["x"] - choice["width"], compare["y"] - choice["y"] - choice["height"]
    assert max(beside, below) >= 4
    assert visitor.overflow() == 0


def test_a_short_text_leaves_no_empty_window(serve, visit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("short")
    document = add_text(folder, "The mill was sold in 1871.", "note.txt")
    visitor = visit(serve(folder))
    visitor.open(f"/documents/{document}")
    visitor.page.wait_for_selector(".viewer:has-text('1871')")
    assert visitor.page.locator(".viewer").bounding_box()["height"] < 120
