"""What is logged of errors that are not ours."""

import logging

import pytest

from rereader.server.faults import log_fault

WORDS = "Keziah keeps the bees"


def fault():
    try:
        raise KeyError(WORDS)
    except KeyError as cause:
        try:
            raise ValueError(WORDS) from cause
        except ValueError as error:
            return error


def test_kind_and_place_are_logged_and_the_text_is_not(caplog, monkeypatch):
    monkeypatch.delenv("REREADER_DEBUG", raising=False)
    log_fault(logging.getLogger("x"), "job 7", fault())
    assert "job 7 failed: ValueError" in caplog.text and "in fault" in caplog.text and "REREADER_DEBUG" in caplog.text
    assert WORDS not in caplog.text


def test_all_is_logged_for_those_who_ask_for_it(caplog, monkeypatch):
    monkeypatch.setenv("REREADER_DEBUG", "1")
    log_fault(logging.getLogger("x"), "job 7", fault())
    assert f"ValueError: {WORDS}" in caplog.text and "KeyError" in caplog.text


def test_an_error_that_was_never_raised_has_no_place(caplog, monkeypatch):
    monkeypatch.delenv("REREADER_DEBUG", raising=False)
    log_fault(logging.getLogger("x"), "job 7", ValueError(WORDS))
    assert "ValueError" in caplog.text and WORDS not in caplog.text


@pytest.mark.parametrize("debug", [False, True])
def test_a_request_that_fails_inside_is_logged_so(client, backend, caplog, monkeypatch, debug):
    monkeypatch.setenv("REREADER_DEBUG", "1" if debug else "")

    def broken(*_args, **_kwargs):
        raise ValueError("words of " + "a book")

    monkeypatch.setattr("rereader.memory.runs.RunStore.listed", broken)
    answer = client.get("/api/runs")
    assert answer.status_code == 500 and "a book" not in answer.text
    assert "a request (GET) failed" in caplog.text and "in broken" in caplog.text
    assert ("words of a book" in caplog.text) is debug


@pytest.mark.parametrize("debug", [False, True])
def test_a_job_that_fails_is_logged_so(client, backend, asked, wait_for, caplog, monkeypatch, debug):
    monkeypatch.setenv("REREADER_DEBUG", "1" if debug else "")

    def broken(*_args, **_kwargs):
        raise ValueError("words of " + "a book")

    monkeypatch.setattr("rereader.runs.session.Session.ask", broken)
    job = wait_for(client.post("/api/runs", json={"question": "Who?"}).json()["job"])
    assert job["state"] == "failed" and "a book" not in str(job)
    assert "ValueError" in caplog.text and "in broken" in caplog.text
    assert ("words of a book" in caplog.text) is debug
