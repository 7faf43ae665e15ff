"""``rereader doctor``: well when all is well, and a mend for every finding."""

import json
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from rereader.config import Config
from rereader.memory.library import Library
from rereader.memory.locks import lock_at
from rereader.models.base import Generation
from rereader.models.hashing import HashingEmbedder
from rereader.models.measure import entries
from rereader.models.scripted import ScriptedModel
from rereader.models.speed import CACHE, Speed, identity, keep_speed, measure_embedder, measure_reader, speed_of
from rereader.runs.doctor import installation, machine, servers, shelf, speeds
from rereader.runs.doctor.examination import CHECKS, examine, is_well
from rereader.runs.doctor.scope import Scope
from rereader.runs.facts import plain_rates
from rereader.schema import StoreError
from rereader.schema.findings import Finding
from rereader.testing.texts import essay, plant

WELL = {"ok", "note", "warning"}


@pytest.fixture
def scope(tmp_path):
    return Scope(Config(workspace=tmp_path / "ws", models_dir=tmp_path / "models"))


def test_a_fresh_machine_is_well_and_every_topic_is_looked_at(command):
    code, out, err = command("doctor", "--json")
    found = json.loads(out)
    assert (code, found["well"], err) == (0, True, "")
    assert {row["topic"] for row in found["findings"]} >= {"installation", "machine", "models", "workspace"}
    assert {row["state"] for row in found["findings"]} <= WELL
    assert any("no workspace" in row["what"] for row in found["findings"])


def test_every_fault_has_a_mend_and_the_code_tells(command, tmp_path, workspace):
    book = tmp_path / "book.txt"
    book.write_text(plant(essay(1, 100), ["The mill was sold in 1822."]), encoding="utf-8")
    command("ask", book, "When was the mill sold?")
    assert command("doctor")[0] == 0
    import sqlite3

    with sqlite3.connect(workspace / "library.db") as connection:
        connection.execute("UPDATE documents SET length = length + 1")
    code, out, _ = command("doctor")
    assert (code, "PROBLEM" in out, "problem" in out.splitlines()[-1]) == (1, True, True)
    rows = json.loads(command("doctor", "--json")[1])["findings"]
    assert all(row["mend"] for row in rows if row["state"] in ("warning", "problem"))


def test_a_damaged_library_is_a_finding_not_a_traceback(command, workspace):
    (workspace / "library.db").write_bytes(b"this is no database" * 100)
    code, out, err = command("doctor")
    assert (code, "PROBLEM" in out, "Traceback" in out + err) == (1, True, False)


@pytest.fixture
def scratched(command, tmp_path, workspace):
    """A workspace with a page in three of its library overwritten."""
    book = tmp_path / "book.txt"
    book.write_text(plant(essay(1, 400), ["The mill was sold in 1822."]), encoding="utf-8")
    command("ask", book, "When was the mill sold?", "--quiet")
    body = bytearray((workspace / "library.db").read_bytes())
    for page in range(12, len(body) // 4096, 3):
        body[page * 4096 : page * 4096 + 100] = b"\x7f" * 100
    (workspace / "library.db").write_bytes(body)
    return workspace


def in_workspace(out):
    """The lines about the workspace."""
    return out.partition("\nworkspace\n")[2].partition("\nendpoints\n")[0].splitlines()


def test_damage_is_told_once_in_a_few_lines_that_say_what_it_means(command, scratched):
    code, out, _ = command("doctor")
    told = in_workspace(out)
    assert (code, out.count("PROBLEM"), "1 problem, " in out, len(told) < 10) == (1, 1, True, True)
    assert all(words in "\n".join(told) for words in ("library.db is damaged", "rereader restore", "is lost unless"))
    assert any("the text of 1 document cannot be read: book.txt" in line for line in told)
    assert not any(word in out for word in (" | ", "btree", "--repair", "quick check"))
    [row] = [row for row in json.loads(command("doctor", "--json")[1])["findings"] if row["state"] == "problem"]
    assert row["detail"] and all(f" | {line}\n" in command("doctor", "--verbose")[1] for line in row["detail"][:2])


def test_repair_leaves_a_damaged_library_alone_and_does_not_recommend_itself(command, scratched):
    before = (scratched / "library.db").read_bytes()
    code, out, _ = command("doctor", "--repair")
    assert (code, out.count("PROBLEM"), "--repair" in out) == (1, 2, False)
    assert "damaged beyond repair" in out and "rereader restore" in out
    assert (scratched / "library.db").read_bytes() == before


def test_what_only_a_repair_finds_beyond_repair_is_not_well(command, workspace):
    Library(workspace).close()
    with closing(sqlite3.connect(workspace / "library.db", isolation_level=None)) as library:
        library.execute("INSERT INTO tombstones VALUES ('a', 'removed', 0), ('b', 'removed', 0)")
        library.execute("CREATE INDEX extra ON tombstones (what)")
        library.execute("PRAGMA writable_schema = ON")  # a value twice: nothing that a quick check looks for
        library.execute("UPDATE sqlite_master SET sql = replace(sql, 'INDEX', 'UNIQUE INDEX') WHERE name = 'extra'")
    assert command("doctor")[0] == 0
    code, out, _ = command("doctor", "--repair")
    assert (code, "PROBLEM  the library is damaged beyond repair" in out, "rereader restore" in out) == (1, True, True)


def test_repair_recommends_what_comes_after_it(command, workspace):
    Library(workspace).close()
    with closing(sqlite3.connect(workspace / "library.db")) as library, library:
        library.execute("INSERT INTO documents VALUES ('a', 'a', 'a', 5, 'text/1', 0)")
    assert "--repair" in command("doctor")[1]
    code, out, _ = command("doctor", "--repair")
    assert (code, "--repair" in out, "rereader remove ID" in out) == (1, False, True)


def test_a_repair_that_was_not_made_is_recommended_again(command, tmp_path, workspace, monkeypatch):
    book = tmp_path / "book.txt"
    book.write_text(plant(essay(1, 100), ["The mill was sold in 1822."]), encoding="utf-8")
    command("ask", book, "When was the mill sold?", "--quiet")
    with closing(sqlite3.connect(workspace / "library.db", isolation_level=None)) as harmed:
        harmed.execute("UPDATE chunks SET start = start + 1 WHERE ordinal = 1")
    with Library(workspace) as library:
        [document] = library.documents.all()
        lock = library.adding_lock(document.id)
    with lock_at(lock):
        code, out, _ = command("doctor", "--repair")
    assert (code, "left alone" in out, "Run: rereader doctor --repair" in out) == (1, True, True)
    assert command("doctor", "--repair")[0] == 0

    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    (workspace / "library.db").chmod(0o644)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "chmod", refused)
        code, out, _ = command("doctor", "--repair")
    assert (code, "rights could not be mended" in out, "--replace" in out) == (1, True, False)
    assert "that others may read" in out and "Run: rereader doctor --repair" in out


def test_an_old_workspace_is_not_upgraded_by_looking(command, workspace):
    Library(workspace).close()
    with closing(sqlite3.connect(workspace / "library.db")) as old:
        old.execute("PRAGMA user_version = 1")
    before = (workspace / "library.db").read_bytes()
    code, out, _ = command("doctor")
    assert code == 0 and "schema version 1; the next command upgrades it" in out
    assert (workspace / "library.db").read_bytes() == before


@pytest.mark.parametrize("address", ["http://127.0.0.1:80000/v1", "http://a..b/v1"])
def test_an_address_that_is_none_hides_nothing_else(command, tmp_path, address):
    (tmp_path / "config.toml").write_text(f'[endpoints.office]\nmodel = "openai:m"\nbase_url = "{address}"\n')
    _, out, err = command("doctor")
    assert "Traceback" not in out + err and "Internal error" not in out + err
    assert "office" in out + err or "port" in out + err


def test_a_check_with_a_mistake_is_a_finding(scope):
    def broken(_):
        raise ZeroDivisionError("oh")

    [one] = examine(scope, [("machine", broken)])
    assert one.finding.state == "problem" and "broken" in one.finding.what


def test_doctor_makes_no_workspace(command, tmp_path):
    folder = tmp_path / "nowhere" / "ws"
    assert command("doctor", "--workspace", folder)[0] == 0
    assert not folder.parent.exists()


def test_a_large_library_is_examined_in_seconds(command, tmp_path):
    book = tmp_path / "book.txt"
    book.write_text(plant(essay(1, 40_000), ["The mill was sold in 1822."]), encoding="utf-8")
    assert book.stat().st_size > 2_000_000
    command("add", book, "--set", "gist=extract")
    started = time.monotonic()
    assert command("doctor")[0] == 0
    assert time.monotonic() - started < 30  # five on an idle machine


def test_a_check_that_fails_is_a_finding(scope):
    def broken(_scope):
        raise StoreError("It is broken.", "Mend it.")

    [found] = examine(scope, [("topic", broken)])
    assert (found.topic, found.finding) == ("topic", Finding("It is broken.", "problem", "Mend it."))
    assert not is_well([found])
    assert len({check for _, check in CHECKS}) == len(CHECKS)


def test_packages_outside_of_their_ranges_and_missing_ones_are_found(scope, monkeypatch):
    needs = ["rich>=999", "nosuchpackage>=1", 'torchless>=1; extra == "local"']
    monkeypatch.setattr(installation.metadata, "requires", lambda _: needs)
    found = installation.required_packages(scope)
    assert [(one.state, word in one.what) for one, word in zip(found, ["nosuchpackage", "rich"], strict=True)] == [
        ("problem", True),
        ("warning", True),
    ]
    [local] = [one for one in installation.optional_packages(scope) if "'local'" in one.what]
    assert (local.state, "torchless" in local.what) == ("note", True)


def test_an_old_python_is_a_problem(scope, monkeypatch):
    monkeypatch.setattr(installation.platform, "python_version", lambda: "3.9.1")
    assert installation.python_version(scope)[0].state == "problem"


def test_little_memory_and_disk_are_warned_of(scope, monkeypatch):
    class Little:
        available, total, free = 10**9, 2 * 10**9, 10**9

    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: Little)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: Little)
    assert [one.state for one in (*machine.memory(scope), *machine.disk(scope))] == ["warning"] * 3
    Little.free = 10**6
    assert machine.disk(scope)[0].state == "problem"


def make_model(folder):
    from rereader.models.manifest import write_manifest

    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(3 << 20))
    write_manifest(folder, name=folder.name, kind="generate", source="0" * 64)


def test_changed_and_incomplete_models_are_problems(scope, tmp_path):
    folder = tmp_path / "models" / "some-model"
    make_model(folder)
    assert [one.state for one in shelf.model_files(scope)] == ["ok"]
    (folder / "model.safetensors").write_bytes(b"x" * (3 << 20))
    assert shelf.model_files(scope)[0].state == "ok"  # large files are hashed when that is asked for
    assert shelf.model_files(Scope(scope.config, measure=True))[0].state == "problem"
    (folder / "config.json").write_text("[]")
    [changed] = shelf.model_files(scope)
    assert (changed.state, "config.json" in changed.what) == ("problem", True)
    (folder / "model.safetensors").unlink()
    [incomplete] = shelf.model_files(scope)
    assert (incomplete.state, "models pull some-model" in incomplete.mend) == ("problem", True)


def configured(scope, **endpoints):
    return Scope(Config.model_validate({**scope.config.model_dump(), "endpoints": endpoints}))


@pytest.mark.enable_socket
def test_named_servers_are_tried_and_no_others(scope, monkeypatch):
    assert "nothing leaves" in servers.endpoints(scope)[0].what
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        asked = configured(scope, here={"model": "openai:any", "base_url": address})
        assert servers.endpoints(asked)[0].state == "ok"
    [down] = servers.endpoints(asked)
    assert (down.state, "[endpoints.here]" in down.mend) == ("warning", True)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    keyed = configured(scope, far={"model": "openai:any", "base_url": address, "api_key_env": "NO_SUCH_KEY"})
    assert servers.endpoints(keyed)[0].state == "problem"


def test_speeds_are_kept_and_found_again(tmp_path):
    speed = Speed(read=123.0, write=4.0, write_together=9.0, load=2.0, source="measured")
    keep_speed(tmp_path, identity("m", None), "cpu", speed)
    assert speed_of("m", None, tmp_path) == speed
    assert speed_of("other", None, tmp_path).source == "guess"
    (tmp_path / CACHE).write_text("no json")
    assert speed_of("m", None, tmp_path).source == "guess"


class Slow(ScriptedModel):
    """Takes a millisecond a token read and ten a token written."""

    def generate(self, prompts, sampling, cancel=None):
        sizes = self.prompt_tokens(prompts)
        time.sleep(sum(sizes) * 1e-3 + sampling.max_new_tokens * 1e-2)
        written = tuple(range(sampling.max_new_tokens))
        return [Generation("x", written, "length", size) for size in sizes]


def test_a_known_speed_is_measured_right():
    speed = measure_reader(Slow(lambda _: "x", name="slow"), speeds.sample_text(), load=1.0)
    assert speed.source == "measured"
    assert speed.read == pytest.approx(1000, rel=0.3)
    assert speed.write == pytest.approx(100, rel=0.4)
    assert speed.write_together == pytest.approx(400, rel=0.5)
    assert measure_embedder(HashingEmbedder(), speeds.sample_text(), 0.0).read > 1000


def test_measuring_keeps_rates_of_plain_work(tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    roles = {"reader": "extractive", "gister": "none", "scorer": "none", "embedder": "hashing"}
    scope = Scope(Config(workspace=tmp_path / "ws", models_dir=models, roles=roles), measure=True)
    assert not plain_rates(models).measured
    assert speeds.speeds(scope) == []
    rates = plain_rates(models)
    assert rates.measured and 0 < rates.cut < 1e-3 and 0 < rates.extract < 1e-2
    assert len(entries(models / CACHE)) == 2
    assert speed_of("hashing", None, models).source == "measured"
