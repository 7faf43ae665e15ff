"""What the tests of gist-lookup share: a book whose words tell their paragraph, and a reader on a script."""

import re

from rereader.agents.context import RunContext
from rereader.agents.pages import pages_key, stored
from rereader.graphs.registry import get_graph
from rereader.models.scripted import ScriptedModel

GRAPH = "gist-lookup"
QUESTION = "What does the keeper hide under the stair?"
FACT = "The keeper hides a brass compass under the stair."
KINDS = {"page_break": "Text with labels", "page_gist": "Shorten", "lookup": "must be read again", "answer": "one line"}


def paragraph(number, words=100):
    """A paragraph of which every word tells the number."""
    return " ".join(f"p{number}w{i}" for i in range(words - 1)) + f" p{number}end."


def book(paragraphs=20, fact_in=13):
    made = [paragraph(i) for i in range(paragraphs)]
    made[fact_in] = f"{FACT} {paragraph(fact_in, 100 - len(FACT.split()))}"
    return "\n\n".join(made) + "\n"


class Script:
    """A reader that gists with the first word of a page, and answers look-ups from a list."""

    def __init__(self, lookups=("[]",), label=None, gist=None, answer="a brass compass", window=32768):
        self.lookups, self.label, self.answer = list(lookups), label, answer
        self.gist = gist or (lambda page: f"Gist of {page.split()[0]}.")
        self.model = ScriptedModel(self.reply, name="reader", choose=self.choose, context_window=window)

    def reply(self, prompt):
        if kind(prompt) == "page_gist":
            return self.gist(prompt.split("Passage:\n")[1].removeprefix("\n<user>\n"))
        if kind(prompt) == "lookup":
            return self.lookups.pop(0)
        return self.label if kind(prompt) == "page_break" else self.answer

    def choose(self, prompt, options):
        """The second label."""
        return [float(i == 1) for i in range(len(options))]

    def prompts(self, *kinds):
        return [plain(call.prompt) for call in self.model.calls if kind(call.prompt) in kinds]


def kind(prompt):
    return next(name for name, mark in KINDS.items() if mark in prompt)


def plain(prompt):
    return re.sub(r"\n?<(?:user|system)>\n", "", prompt)


def paragraphs_in(text):
    """Which paragraphs a text holds in full, in order."""
    return [int(n) for n in re.findall(r"\bp(\d+)end\.", text)]


def add(session, text, title="book"):
    return session.library.documents.add(text, title=title, source=title, loader="text/1")


def ask(session, *documents, question=QUESTION, budget=None, **settings):
    wanted = {"decline_below": 0, **settings}
    return session.ask(question, [d.id for d in documents], graph=GRAPH, settings=wanted, budget=budget)


def detail(session, answer, node):
    return [step.detail for step in session.library.runs.steps(answer.run_id) if step.node == node]


def spans_of(session, document, **settings):
    """The stored pages of a document."""
    values = get_graph(GRAPH).settings(settings)
    context = RunContext(session.library, session.models, session.counter, values, "run", (document,))
    chunking = session.library.chunks.chunking(document.id, context.chunking_key())
    return [record.spans[0] for record in stored(context, chunking, pages_key(context))]


def two_books(session):
    return [add(session, book(8, 3), "one"), add(session, book(12, 7), "two")]


def keeper_gists(page):
    return "The keeper hides something under the stair." if page.startswith("p12w0") else f"Gist of {page.split()[0]}."
