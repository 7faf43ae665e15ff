"""A chat server, and child processes of the command line that can be killed."""

import pytest

from rereader.testing.chat_server import Act, ChatServer
from rereader.testing.sessions import quoting_reply
from rereader.testing.soak.cases import environment, save_model
from rereader.testing.soak.children import Children


@pytest.fixture(scope="session")
def chat():
    with ChatServer(quoting_reply, then=Act(seconds=0.02), models=[{"id": "fake", "max_model_len": 8192}]) as server:
        yield server


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The folder of a tiny model; the folder of pulled models, which is empty, is beside it."""
    folder = tmp_path_factory.mktemp("tiny")
    return save_model(folder / "tiny", folder / "models")


@pytest.fixture(scope="session")
def children(tmp_path_factory, tiny):
    folder = tmp_path_factory.mktemp("children")
    with Children("rereader.cli.main:run", folder, environment(folder, tiny.parent / "models"), local=True) as running:
        yield running
