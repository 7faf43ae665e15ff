from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rereader.models import machine_lock
from rereader.models.base import Cancel
from rereader.models.machine_lock import computing, lock_path
from rereader.schema.errors import Interrupted, StoreError

HOLD = """
import sys
from pathlib import Path
from rereader.models.machine_lock import computing
with computing("other", lambda: False, Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_at_a_time_within_a_process(tmp_path: Path) -> None:
    inside, most = 0, 0
    count = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with computing("m", lambda: False, tmp_path / "new" / "lock"):
            with count:
                inside += 1
                most = max(most, inside)
            time.sleep(0.01)
            with count:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_another_process_is_waited_for_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(machine_lock, "_PATIENCE_SECONDS", 0.1)
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin and other.stdout and other.stdout.readline() == b"held\n"
        cancel = Cancel()
        threading.Timer(1.0, cancel.set).start()
        with caplog.at_level(logging.WARNING), pytest.raises(Interrupted), computing("mine", cancel.is_set, path):
            pytest.fail("two at once")
        assert [record.getMessage() for record in caplog.records] == [
            "mine waits: another process of yours lets a model compute on this machine."
        ]
        threading.Timer(0.3, other.kill).start()  # a killed process holds nothing
        with computing("mine", lambda: False, path):
            assert other.wait(5) != 0


def test_a_folder_that_cannot_be_written_is_one_plain_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreError, match="lock file") as caught,
        computing("m", lambda: False, tmp_path / "file" / "lock"),
    ):
        pytest.fail("no folder")
    assert caught.value.hint


def test_the_lock_is_one_for_all_of_the_user_s_processes() -> None:
    assert lock_path() == lock_path() and lock_path().is_absolute()
