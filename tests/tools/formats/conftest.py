"""Files made by real writers are asked about through a whole session; the reader quotes the planted sentence."""

from random import Random
from types import SimpleNamespace

import pytest

from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.runs.documents import read_sources, store_texts
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay

TOWNS = ("Ulpelhala", "Tarvesund", "Ombrighem", "Kessarode", "Vintelmar")


class Script:
    """A reader that knows one sentence and quotes it wherever it stands in the prompt."""

    def __init__(self):
        self.fact = ""

    def __call__(self, prompt):
        flat = " ".join(prompt.split())
        return self.fact if self.fact.split()[-1] in flat and "Passages:" in prompt else "1"


@pytest.fixture(scope="session")
def asked(tmp_path_factory):
    """A session over all files of this folder's tests, and the script of its reader."""
    script = Script()
    models = Models(
        reader=ScriptedModel(script, name="reader"),
        gister=ScriptedModel(lambda prompt: "A gist.", name="gister"),
        scorer=ScriptedModel(lambda prompt: "A", name="scorer"),
        embedder=HashingEmbedder(),
    )
    session = scripted_session(tmp_path_factory.mktemp("formats"), models)
    yield SimpleNamespace(session=session, script=script)
    session.library.close()


@pytest.fixture(scope="session")
def fact():
    """A new sentence to plant, each time another one."""
    rng = Random()
    return lambda: f"The strongbox of the {rng.choice(TOWNS)} office opens with {rng.randrange(10**6, 10**7)}."


@pytest.fixture(scope="session")
def filler():
    """Paragraphs of common words, never the same."""
    rng = Random()

    def paragraphs(count=3, sentences=5):
        return ["".join(essay(rng.randrange(10**6), sentences)).replace("\n", " ").strip() for _ in range(count)]

    return paragraphs


@pytest.fixture
def cite(asked, tmp_path):
    """Store a file, ask for the planted sentence: the evidence that holds it, and the warnings of the loader."""

    def ask(name, data, sentence, **options):
        path = tmp_path / name
        path.write_bytes(data)
        heard = []
        texts = read_sources([path], **options)
        documents = store_texts(asked.session, texts, listen=lambda event: heard.append(event.text))
        asked.script.fact = sentence
        question = "With which number does the strongbox of the office open?"
        answer = asked.session.ask(question, [document.id for document in documents], graph="retrieval")
        number = sentence.split()[-1].rstrip(".")
        [found] = [item for item in answer.evidence if number in item.quote]
        assert found.verified
        return found, heard

    return ask
