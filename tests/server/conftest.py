"""Servers for tests."""

import shutil
import time

import pytest
from served import app_of, client_of, filled

from rereader.testing.serving import scripted_backend


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A workspace with a document and a run on it, to be copied; the document and the answer."""
    folder = tmp_path_factory.mktemp("prepared") / "workspace"
    with filled(folder) as (_, document, answer):
        pass
    return folder, document, answer


@pytest.fixture
def asked(tmp_path, prepared):
    """A document and the answer to a question about it, in the server's workspace."""
    folder, document, answer = prepared
    shutil.copytree(folder, tmp_path / "workspace")
    return document, answer


@pytest.fixture
def backend(tmp_path, request):
    """A server's state; its workspace is empty unless something was asked."""
    if "asked" in request.fixturenames:
        request.getfixturevalue("asked")
    return scripted_backend(tmp_path / "workspace")


@pytest.fixture
def client(backend):
    """A client that has the key, of a server that works."""
    with client_of(app_of(backend)) as found:
        yield found


@pytest.fixture
def wait_for(client):
    """A function that waits until a job has ended, and returns it."""

    def wait(job):
        until = time.monotonic() + 30
        while (found := client.get(f"/api/jobs/{job}").json())["state"] in ("waiting", "working"):
            assert time.monotonic() < until, found
            time.sleep(0.01)
        return found

    return wait
