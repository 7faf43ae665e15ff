"""What a server says of its models, and servers that say something else."""

import http.client
import urllib.request

import pytest

from rereader.models.serverinfo import list_models


@pytest.mark.parametrize("error", [http.client.BadStatusLine("SSH-2.0"), http.client.IncompleteRead(b""), OSError()])
def test_what_is_no_model_server_has_no_list(error, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", fail)
    assert list_models("http://127.0.0.1:22/v1", "") == []
