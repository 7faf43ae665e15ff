import gc
import threading
import time
import weakref

import pytest

from rereader.models.worker import Worker
from rereader.schema.errors import ModelError


@pytest.fixture
def worker():
    made = Worker("test")
    yield made
    made.close()


def test_all_jobs_run_on_one_thread_in_order(worker):
    seen = []

    def job(number):
        seen.append((number, threading.current_thread().name))
        return number * number

    futures = [worker.submit(lambda number=number: job(number)) for number in range(50)]
    assert [future.result() for future in futures] == [number * number for number in range(50)]
    assert seen == [(number, "test") for number in range(50)]


def test_never_two_jobs_at_once(worker):
    busy, most = 0, 0

    def job():
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        time.sleep(0.002)
        busy -= 1

    threads = [threading.Thread(target=lambda: [worker.call(job) for _ in range(5)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_an_exception_travels_to_its_caller_and_spares_the_next(worker):
    class Own(Exception):
        pass

    def broken():
        raise Own("here")

    with pytest.raises(Own, match="here"):
        worker.call(broken)
    assert worker.call(lambda: 7) == 7


def test_a_call_from_the_worker_itself_does_not_wait_for_itself(worker):
    assert worker.call(lambda: worker.call(lambda: "inner")) == "inner"


def test_close_finishes_what_waits_and_refuses_more():
    worker = Worker("closing")
    gate = threading.Event()
    first = worker.submit(gate.wait)
    second = worker.submit(lambda: "done")
    closing = threading.Thread(target=worker.close)
    closing.start()
    time.sleep(0.01)
    with pytest.raises(ModelError, match="closed"):
        worker.submit(lambda: None)
    gate.set()
    closing.join()
    assert first.result() is True
    assert second.result() == "done"
    worker.close()


def test_the_start_hook_runs_first_on_the_thread():
    names = []
    worker = Worker("hooked", lambda: names.append(threading.current_thread().name))
    worker.call(lambda: None)
    worker.close()
    assert names == ["hooked"]


def test_a_finished_job_is_not_kept_alive(worker):
    class Big:
        pass

    big = Big()
    gone = weakref.ref(big)
    worker.call(lambda held=big: None if held is None else 1)
    worker.call(lambda: None)
    del big
    for _ in range(100):
        gc.collect()
        if gone() is None:
            break
        time.sleep(0.01)
    assert gone() is None


def test_a_start_that_fails_is_told_to_every_caller():
    def fail():
        raise ValueError("no threads")

    worker = Worker("broken", fail)
    for _ in range(2):
        with pytest.raises(ValueError, match="no threads"):
            worker.call(lambda: None)
    worker.close()
