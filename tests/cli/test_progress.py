"""What a log is told of progress."""

from rereader.cli import progress
from rereader.schema import Event, Progress
from rereader.server.mcp_progress import _said

ONE = Event("progress", "r", progress=Progress("loading minilm", 0, 1))
MANY = Event("progress", "r", progress=Progress("gist", 3, 9))


def test_what_is_not_counted_has_no_colon_with_nothing_behind(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_LOG_SECONDS", 0.0)
    with progress.listener(quiet=False) as listen:
        listen(ONE)
        listen(MANY)
    assert capsys.readouterr().err.splitlines() == ["loading minilm", "gist: 3/9"]


def test_an_agent_is_told_the_same():
    assert [_said(ONE), _said(MANY)] == ["run r, loading minilm", "run r, gist: 3 of 9"]
