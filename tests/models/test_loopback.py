"""Hosts and addresses that mean this machine: a server may listen there, and no proxy is asked on the way."""

import pytest

from rereader.models.loopback import is_loopback, is_loopback_url


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST", "::1"])
def test_this_machine(host):
    assert is_loopback(host)
    assert is_loopback_url(f"http://[{host}]:8/v1" if ":" in host else f"http://{host}/v1")


@pytest.mark.parametrize("host", ["10.0.0.1", "192.168.0.2", "0.0.0.0", "::", "api.example.org", "127.0.0.1.test", ""])
def test_other_machines(host):
    assert not is_loopback(host)
    assert not is_loopback_url(f"https://[{host}]/v1" if ":" in host else f"https://{host}/v1")


def test_what_is_no_url_leads_nowhere():
    assert not is_loopback_url("") and not is_loopback_url("localhost")
