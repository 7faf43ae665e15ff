"""A session on scripted models for every graph test."""

import pytest

from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.testing.sessions import scripted_models, scripted_session


@pytest.fixture
def models():
    return scripted_models()


@pytest.fixture
def session(tmp_path, models):
    made = scripted_session(tmp_path / "ws", models)
    yield made
    made.library.close()


@pytest.fixture
def start(tmp_path):
    """A function that opens a session on a reader of one's own (see ``paged_books``), and perhaps a gister."""
    made = []

    def begin(script, gister=None):
        models = Models(reader=script.model, gister=gister, embedder=HashingEmbedder())
        made.append(scripted_session(tmp_path / f"ws{len(made)}", models))
        return made[-1]

    yield begin
    for session in made:
        session.library.close()
