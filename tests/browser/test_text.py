"""Modules of the page by themselves: exact offsets in any text, and the working memory at any version."""

import random

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.allow_hosts(["127.0.0.1"])]
_LETTERS = "ab \n\u05d0\u0301\u4e2d\U0001f600\U0001f33e\U00010348\u200d\u202e\x00"
_CUT = """async ([points, start, spans]) => {
  const { Slice } = await import("/static/text.js");
  const slice = new Slice(String.fromCodePoint(...points), start);
  return spans.map(([from, to]) => [...slice.cut(from, to)].map((character) => character.codePointAt(0)));
}"""
_SHOWN = """async (text) => {
  const { said } = await import("/static/text.js");
  const node = said(text);
  const boxes = [...node.querySelectorAll(".odd")].map((box) => box.dataset.code);
  return { same: node.textContent === text, boxes, isolated: node.dir === "auto" };
}"""
_MEMORY = """async ([changes, versions]) => {
  const { Ledger } = await import("/static/ledger.js");
  const ledger = new Ledger();
  ledger.add(changes);
  return versions.map((version) => {
    const { members, pinned } = ledger.at(version);
    return [[...members], [...pinned].sort()];
  });
}"""


@pytest.fixture(scope="module")
def served(serve):
    return serve()


def test_offsets_are_those_of_python_whatever_the_text(served, visit):
    page = visit(served).page
    draw = random.Random(7)
    for _ in range(60):
        text = "".join(draw.choices(_LETTERS, k=draw.randint(0, 80)))
        start = draw.choice([0, 5, 2_999_950])
        pairs = [sorted(draw.choices(range(len(text) + 1), k=2)) for _ in range(20)]
        spans = [[start + first, start + last] for first, last in pairs]
        found = page.evaluate(_CUT, [[ord(one) for one in text], start, spans])
        assert found == [[ord(one) for one in text[first:last]] for first, last in pairs]


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("plain \U0001f600 text\n\twith lines", []),
        ("a\u202eb\u2066c\u200fd", ["202E", "2066", "200F"]),
        ("\x00\x07\x1b\x7f\x85", ["0000", "0007", "001B", "007F", "0085"]),
        ("\ufeffhidden\u200b\u00ad\u2060", ["FEFF", "200B", "00AD", "2060"]),
        ("tags \U000e0041\U000e0042", ["E0041", "E0042"]),
        ("a family \U0001f468\u200d\U0001f469", []),
        ("<b>&amp;</b>", []),
    ],
)
def test_what_cannot_be_seen_gets_a_box_and_stays_what_it_is(served, visit, text, boxes):
    assert visit(served).page.evaluate(_SHOWN, text) == {"same": True, "boxes": boxes, "isolated": True}


def test_halves_of_surrogate_pairs_are_boxed_too(served, visit):
    found = visit(served).page.evaluate(
        """async () => {
          const { said, characters } = await import("/static/text.js");
          const text = "a" + String.fromCharCode(0xd800) + "b" + String.fromCharCode(0xdc00);
          const boxes = [...said(text).querySelectorAll(".odd")].map((box) => box.dataset.code);
          return [boxes, characters(text)];
        }"""
    )
    assert found == [["D800", "DC00"], 4]


def test_the_memory_at_any_version_is_what_the_changes_leave(served, visit):
    draw = random.Random(3)
    changes, states = _changes(draw, versions=900)
    versions = draw.choices(range(901), k=60)
    found = visit(served).page.evaluate(_MEMORY, [changes, versions])
    assert found == [states[version] for version in versions]


def _changes(draw, versions):
    """A ledger, and what the working memory holds at each version by the rules of the store."""
    members, pinned, changes, states = {}, set(), [], [[[], []]]
    for version in range(1, versions + 1):
        for number in range(draw.randint(1, 3)):
            kind = draw.choice(["add", "add", "drop", "pin", "unpin"])
            record = f"r{version}.{number}" if kind == "add" else draw.choice([*members, "none"])
            slot = draw.choice(["note", "quote"]) if kind == "add" else ""
            changes.append([version, kind, slot, record])
            if kind == "add":
                members[record] = slot
            elif kind == "pin":
                pinned.add(record)
            elif kind == "unpin":
                pinned.discard(record)
            elif record not in pinned:
                members.pop(record, None)
        states.append([[list(one) for one in members.items()], sorted(pinned)])
    return changes, states
