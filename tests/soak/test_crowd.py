"""Four processes on one workspace for some seconds; ``make soak`` lets eight of them meet for ten minutes."""

import pytest

from rereader.testing.soak.cases import environment, served
from rereader.testing.soak.crowd import Place, meet

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def test_those_who_come_together_share_a_document_and_wait_for_nobody(chat, tmp_path):
    before = gists(chat)
    place = Place("rereader.cli.main:run", tmp_path, served(chat.url), environment(tmp_path, tmp_path / "models"))
    meeting = meet(place, seconds=5, processes=4, seed=0, gists_asked=lambda: gists(chat) - before)
    assert meeting.faults == []
    assert 0 < meeting.kept < meeting.named
    assert meeting.gists_asked == meeting.gists_kept > 0
    assert meeting.visits.answered and meeting.visits.latency()["all"]["count"] > 5


def gists(chat):
    return sum("Write the facts of this text" in seen.messages[-1]["content"] for seen in list(chat.seen))
