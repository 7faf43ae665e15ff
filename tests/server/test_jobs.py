"""The queue: one after the other, told of, stopped, and nobody to blame for the one before."""

import threading
import time

import pytest

from rereader.models.roles import RoleNames
from rereader.schema import Event, InputError, Interrupted, ModelError, NotThere, Progress
from rereader.server import jobs
from rereader.server.errors import Refused
from rereader.server.jobs import Desk, Made, Task
from rereader.server.sessions import OneSession
from rereader.server.wanted import Wanted

WANTED = Wanted(RoleNames(reader="reader"))


class FakeModels:
    def __init__(self, names):
        self.names = names

    def describe(self):
        return self.names


class FakeSession:
    def __init__(self, wanted):
        # What runs a model is chosen unless a stored run says it, and is written behind its name.
        self.models = FakeModels({role: _shown(name, wanted) for role, name in vars(wanted.names).items()})
        self.warnings = () if wanted.stored else WARNINGS.get(wanted.names.reader, ())


WARNINGS = {"small": ("It is a small one.",)}


def _shown(name, wanted):
    return name if wanted.stored or name != "fast" else "fast (llama.cpp)"


class Opener:
    """Opens sessions and keeps a list of what was opened and closed, and in which threads."""

    def __init__(self):
        self.told, self.threads = [], set()

    def __call__(self, wanted):
        from contextlib import contextmanager

        @contextmanager
        def opened():
            self.threads.add(threading.current_thread().name)
            self.told.append(("open", wanted.names.reader))
            yield FakeSession(wanted)
            self.told.append(("close", wanted.names.reader))

        return opened()


class Listener:
    """Stands in for the hub; keeps what is told."""

    def __init__(self):
        self.told = []

    def tell(self, name, value):
        self.told.append((name, value))

    def close(self):
        self.told.append(("end", None))


@pytest.fixture
def opener():
    return Opener()


@pytest.fixture
def desk(opener):
    found = Desk(opener, [])
    found.hub = Listener()
    found.start()
    yield found
    found.close(10)


def task(do=lambda session, listen, cancel: Made(run="r1"), kind="ask", wanted=WANTED, **fields):
    return Task(kind, wanted, do, **fields)


def ended(desk, job):
    until = time.monotonic() + 10
    while (found := desk.get(job))["state"] in ("waiting", "working"):
        assert time.monotonic() < until, found
        time.sleep(0.005)
    return found


class Gate:
    """A job that begins and then waits to be let go, or to be stopped."""

    def __init__(self):
        self.began, self.go = threading.Event(), threading.Event()

    def __call__(self, session, listen, cancel):
        self.began.set()
        while not self.go.wait(0.005):
            if cancel.is_set():
                raise Interrupted("Interrupted.")
        return Made(run="r1")


def test_jobs_are_done_one_after_the_other(desk):
    done, gate = [], Gate()
    first = desk.submit(task(gate))
    gate.began.wait(5)
    others = [desk.submit(task(lambda s, listen, c, n=n: done.append(n) or Made(run=f"r{n}"))) for n in range(3)]
    assert [desk.get(job)["place"] for job in (first, *others)] == [0, 1, 2, 3]
    assert [job["id"] for job in desk.all()] == [*reversed(others), first]
    gate.go.set()
    assert [ended(desk, job)["run"] for job in others] == ["r0", "r1", "r2"]
    assert done == [0, 1, 2]
    assert desk.get(first)["state"] == "done"


def test_a_job_that_fails_leaves_the_next_one_alone(desk, caplog):
    def fail(error):
        def do(session, listen, cancel):
            listen(Event("begin", "r7"))
            raise error

        return do

    ours = ended(desk, desk.submit(task(fail(ModelError("It broke at /var/" + "lib/models/x.bin.", "Mend it.")))))
    assert (ours["state"], ours["run"]) == ("failed", "r7")
    assert ours["error"] == {"error": "It broke at x.bin.", "hint": "Mend it."}
    theirs = ended(desk, desk.submit(task(fail(ValueError("secret text of a document")))))
    assert theirs["error"]["error"] == "Internal error: ValueError."
    assert "secret" not in str(theirs)
    assert ended(desk, desk.submit(task()))["state"] == "done"


def test_a_session_that_cannot_be_opened_fails_the_job(desk, opener, monkeypatch):
    def refuse(wanted):
        raise InputError("There is no such model.", "Pull it.")

    monkeypatch.setattr(desk, "_sessions", OneSession(refuse))
    assert ended(desk, desk.submit(task()))["error"]["error"] == "There is no such model."
    monkeypatch.setattr(desk, "_sessions", OneSession(opener))
    assert ended(desk, desk.submit(task()))["state"] == "done"


def test_what_works_is_stopped_and_what_waits_too(desk):
    gate, released = Gate(), []
    working = desk.submit(task(gate, release=lambda: released.append("working")))
    gate.began.wait(5)
    waiting = desk.submit(task(release=lambda: released.append("waiting")))
    assert desk.stop(waiting)["state"] == "stopped"
    assert released == ["waiting"]
    desk.stop(working)
    assert ended(desk, working)["state"] == "stopped"
    assert released == ["waiting", "working"]
    assert desk.stop(working)["state"] == "stopped"
    with pytest.raises(NotThere):
        desk.stop("nothing")


def test_closing_stops_all_work_and_takes_no_more(opener):
    desk = Desk(opener)
    desk.hub = Listener()
    desk.start()
    gate = Gate()
    working = desk.submit(task(gate))
    gate.began.wait(5)
    taken_back, waiting = desk.submit(task()), desk.submit(task())
    desk.stop(taken_back)
    desk.close(10)
    assert [desk.get(job)["state"] for job in (working, waiting)] == ["stopped", "stopped"]
    assert [job["id"] for job in desk.cut_short()] == [working, waiting]
    assert desk.hub.told[-1] == ("end", None)
    assert opener.told[-1] == ("close", "reader")
    with pytest.raises(Refused) as raised:
        desk.submit(task())
    assert raised.value.status == 503
    desk.close(10)


def test_a_desk_that_never_began_can_be_closed(opener):
    desk = Desk(opener)
    desk.hub = Listener()
    desk.close()
    assert desk.hub.told == [("end", None)]


def test_what_happens_is_told(desk):
    def do(session, listen, cancel):
        listen(Event("begin", "r1"))
        listen(Event("step", "r1", 1, node="chunk"))
        listen(Event("progress", "r1", 1, progress=Progress("chunk", 1, 4, tokens=10, seconds=2.0)))
        listen(Event("warning", "r1", text="The file /var/" + "lib/x.txt is odd."))
        return Made(run="r1")

    job = desk.submit(task(do, question="Who?", graph="ledger"))
    assert ended(desk, job)["warnings"] == ["The file x.txt is odd."]
    told = desk.hub.told
    assert [(name, value.get("state")) for name, value in told] == [
        ("job", "waiting"),
        ("job", "working"),
        ("job", "working"),
        ("step", None),
        ("progress", None),
        ("warning", None),
        ("job", "done"),
    ]
    assert told[0][1] | {"created_at": 0} == {
        "id": job,
        "kind": "ask",
        "state": "waiting",
        "run": None,
        "document": None,
        "question": "Who?",
        "graph": "ledger",
        "place": 1,
        "created_at": 0,
        "progress": None,
        "warnings": [],
        "error": None,
    }
    assert told[2][1]["run"] == "r1"
    about = {"job": job, "run": "r1"}
    assert told[3][1] == {**about, "step": 1, "node": "chunk"}
    report = {"stage": "chunk", "done": 1, "total": 4, "tokens_per_second": 5.0, "eta_seconds": 6.0}
    assert told[4][1] == {**about, **report}
    assert told[5][1] == {**about, "text": "The file x.txt is odd."}


def test_what_cannot_be_let_go_of_holds_nobody_up(desk, caplog):
    words = "secret" + " words"

    def stuck():
        raise OSError(28, words)

    gate = Gate()
    first = desk.submit(task(gate, release=stuck))
    gate.began.wait(5)
    waiting = desk.submit(task(release=stuck))
    assert desk.stop(waiting)["state"] == "stopped"
    gate.go.set()
    assert ended(desk, first)["state"] == "done"
    assert ended(desk, desk.submit(task()))["state"] == "done"
    assert caplog.text.count("letting go") == 2 and "OSError" in caplog.text and words not in caplog.text


def test_a_session_that_cannot_be_closed_ends_the_streams_all_the_same(desk, monkeypatch):
    def stuck():
        raise OSError(5, "no")

    monkeypatch.setattr(desk._sessions, "close", stuck)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    desk.close(10)
    assert desk.hub.told == [("end", None)]


def test_documents_that_are_added_are_no_runs(desk):
    def do(session, listen, cancel):
        listen(Event("progress", "d" * 64, progress=Progress("chunk", 1, 4)))
        return Made(document="d" * 64)

    job = ended(desk, desk.submit(task(do, kind="add")))
    assert (job["run"], job["document"]) == (None, "d" * 64)
    assert desk.job_of("d" * 64) is None


def test_progress_is_told_ten_times_a_second_and_at_the_end(desk):
    def do(session, listen, cancel):
        for done in range(1, 1001):
            listen(Event("progress", "r1", progress=Progress("gist", done, 1000)))
        for done in range(1, 1001):
            listen(Event("progress", "r1", progress=Progress("embed", done, 1000)))
        return Made(run="r1")

    began = time.monotonic()
    ended(desk, desk.submit(task(do)))
    most = (time.monotonic() - began) / 0.1 + 6
    told = [(value["stage"], value["done"]) for name, value in desk.hub.told if name == "progress"]
    assert len(told) <= most
    assert {("gist", 1), ("gist", 1000), ("embed", 1), ("embed", 1000)} <= set(told)


def test_how_far_a_job_is_can_be_asked(desk):
    gate = Gate()

    def do(session, listen, cancel):
        listen(Event("progress", "r1", progress=Progress("gist", 3, 10)))
        return gate(session, listen, cancel)

    job = desk.submit(task(do))
    gate.began.wait(5)
    assert desk.get(job)["progress"]["done"] == 3
    assert desk.job_of("r1") == job
    gate.go.set()
    assert ended(desk, job)["progress"] is None
    assert desk.job_of("r1") is None


def test_so_many_jobs_wait_and_no_more(desk, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_WAITING", 2)
    gate = Gate()
    desk.submit(task(gate))
    gate.began.wait(5)
    for _ in range(2):
        desk.submit(task())
    with pytest.raises(Refused) as raised:
        desk.submit(task())
    assert raised.value.status == 429


def test_old_jobs_are_forgotten_and_live_ones_never(desk, monkeypatch):
    monkeypatch.setattr(jobs, "_KEPT", 3)
    first = desk.submit(task())
    ended(desk, first)
    gate = Gate()
    live = [desk.submit(task(gate)), *(desk.submit(task()) for _ in range(4))]
    assert {job["id"] for job in desk.all()} == set(live)
    with pytest.raises(NotThere):
        desk.get(first)
    gate.go.set()
    ended(desk, live[-1])


def test_a_session_stays_open_for_the_next_job_with_its_models(desk, opener):
    ended(desk, desk.submit(task()))
    ended(desk, desk.submit(task()))
    assert opener.told == [("open", "reader")]
    other = Wanted(RoleNames(reader="other"))
    ended(desk, desk.submit(task(wanted=other)))
    assert opener.told == [("open", "reader"), ("close", "reader"), ("open", "other")]
    ended(desk, desk.submit(task(wanted=Wanted(RoleNames(reader="other"), stored=True))))
    assert opener.told[-1] == ("open", "other")
    counted = Wanted(RoleNames(reader="other"), stored=True, counted_by=RoleNames(reader="third"))
    ended(desk, desk.submit(task(wanted=counted)))
    assert opener.told[-2:] == [("close", "other"), ("open", "other")]
    assert opener.threads == {"rereader-work"}


def test_a_session_of_a_stored_run_is_as_good_as_another_with_its_models():
    opener = Opener()
    sessions = OneSession(opener)
    plain, stored = Wanted(RoleNames(reader="fast")), Wanted(RoleNames(reader="fast (llama.cpp)"), stored=True)
    first = sessions.open(plain)
    assert sessions.open(stored) is first
    sessions.open(Wanted(RoleNames(reader="other")))
    second = sessions.open(stored)
    assert sessions.open(plain) is second
    assert sessions.open(Wanted(RoleNames(reader="fast"), stored=True)) is not second
    assert sessions.open(plain) not in (first, second)
    sessions.close()


def test_a_session_of_a_stored_run_is_not_taken_for_one_that_counts_or_warns_otherwise():
    sessions = OneSession(Opener())
    for reader in ("fast", "small"):
        plain = Wanted(RoleNames(reader=reader))
        sessions.open(plain)
        sessions.open(Wanted(RoleNames(reader="other")))
        shown = RoleNames(reader=_shown(reader, plain))
        counted = None if WARNINGS.get(reader) else RoleNames(reader="third")
        held = sessions.open(Wanted(shown, stored=True, counted_by=counted))
        assert sessions.open(plain) is not held
    never = sessions.open(Wanted(RoleNames(reader="new"), stored=True))
    assert sessions.open(Wanted(RoleNames(reader="new"))) is not never, "what would run it is not known yet"
    sessions.close()
