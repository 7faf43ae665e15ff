"""Workspaces for tests in a browser."""

from contextlib import closing

from rereader.testing.sessions import scripted_session

QUESTION = "With whom does the ferryman of Ulpelhala lodge?"
FACT = "Every spring Kormel lodges with Tamwenis."
ASTRAL = "\U0001f33e\U0001f600"
HOSTILE = (
    "<script>window.hacked = 1</script>\n<img src=x onerror='window.hacked = 2'>\n"
    "The password of the \u202eegap\u202c is \x07swordfish\x00 and \u200bhidden. \u2066It is kept by Ahab.\n"
)
_YEAR = (
    "In the year {year} the mill was let to Brisk for {marks} marks. The winter was long. {astral} Nobody wrote why."
)


def chronicle(years=200, place=120):
    """A text with astral characters before, within and after what is asked for."""
    lines = [_YEAR.format(year=1700 + n, marks=3 + n % 80, astral=ASTRAL) for n in range(years)]
    lines.insert(place, f"The ferryman {ASTRAL} of Ulpelhala is Kormel. {FACT}")
    return "\n\n".join("\n".join(lines[start : start + 4]) for start in range(0, len(lines), 4))


def add_text(folder, text, title):
    """Add a document; returns its id."""
    with closing(scripted_session(folder)) as session:
        return session.library.documents.add(text, title=title, source=title, loader="text/1").id


def ask(folder, document, graph="retrieval", question=QUESTION):
    """Ask about a document; returns the answer."""
    with closing(scripted_session(folder)) as session:
        return session.ask(question, [document], graph=graph)
