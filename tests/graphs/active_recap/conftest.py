"""A session on a reader that writes recaps and a scorer that shows its insides."""

import pytest
from recapping import FACT, reply

from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant


@pytest.fixture
def reader():
    return ScriptedModel(reply, name="reader", context_window=4000)


@pytest.fixture
def scorer():
    return ScriptedModel(lambda prompt: "A", name="scorer", attends=True, context_window=4000)


@pytest.fixture
def session(tmp_path, reader, scorer):
    made = scripted_session(tmp_path / "ws", Models(reader=reader, scorer=scorer, embedder=HashingEmbedder()))
    yield made
    made.library.close()


@pytest.fixture
def text():
    return plant(essay(1, 90), [FACT])
