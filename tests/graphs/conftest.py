"""A session on scripted models for every graph test."""

import pytest

from rereader.testing.sessions import scripted_models, scripted_session


@pytest.fixture
def models():
    return scripted_models()


@pytest.fixture
def session(tmp_path, models):
    made = scripted_session(tmp_path / "ws", models)
    yield made
    made.library.close()
