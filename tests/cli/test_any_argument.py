"""Every option and argument of every command takes any text for what it is: an answer, or one line and code 2."""

import json
import re

import pytest
import typer

from rereader.cli.main import application, run

BARE = ["--model=extractive", *(f"--role={r}" for r in ("gister=none", "scorer=none", "embedder=hashing"))]
QUESTION = "With which number does the strongbox open?"
ODD = ["", "\0", "\udcff", "-1", "nan", "9" * 40, "[=\u202e\U0001f41d"]
HEAVY = {
    *("serve", "mcp", "models pull", "doctor", "train gate", "train compressor", "train joint"),
    *(f"bench {name}" for name in ("run", "attention", "masking", "sentences", "gates", "memory", "attacks", "verify")),
}
"""Commands that listen, download or work for long where their arguments are sound; their own tests have bad ones."""
BASES = {
    "ask": ["book.txt", QUESTION, *BARE],
    "add": ["book.txt", *BARE[1:]],
    "estimate": ["book.txt", QUESTION, *BARE],
    "compare": ["book.txt", QUESTION, "--graphs=retrieval", *BARE],
    "documents": [],
    "remove": ["beef", "--yes"],
    "show": ["RUN"],
    "open": ["RUN"],
    "blame": ["RUN"],
    "diff": ["RUN", "1", "2"],
    "fork": ["RUN", "--step=2"],
    "runs list": [],
    "runs tree": [],
    "runs resume": ["RUN"],
    "graphs list": [],
    "graphs draw": ["retrieval"],
    "graphs show": ["retrieval"],
    "graphs new": ["some-graph"],
    "models list": [],
    "models show": ["tiny"],
    "models heads": ["tiny"],
    "config show": [],
    "config path": [],
    "gc": ["--dry-run"],
    "backup": ["saved.zip", "--replace"],
    "restore": ["nowhere.zip"],
    "bench list": [],
    "bench scaling": ["nowhere.jsonl"],
    "bench report": ["nowhere.jsonl"],
    "bench forgetting": ["nowhere.jsonl", "--workspace=ws"],
}


def commands(command, path=()):
    """Every command with the names that lead to it."""
    if not hasattr(command, "commands"):
        yield " ".join(path), command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(application())))


def tried(command, base, texts):
    """Arguments with each odd text in the place of an option's value, or of an argument."""
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            places = [place for place, given in enumerate(base) if not given.startswith("-")]
            for odd in texts:
                for place in places:
                    yield [*base[:place], odd, *base[place + 1 :]]
        elif not parameter.is_flag and parameter.name != "help":
            option = max(parameter.opts, key=len)
            yield from ([*base, f"{option}={odd}"] for odd in texts)


def test_every_command_has_a_base_or_is_heavy():
    assert set(COMMANDS) == {*BASES, *HEAVY}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A workspace with a run."""
    folder = tmp_path_factory.mktemp("any")
    (folder / "book.txt").write_text("The strongbox of the office opens with 5265. The bees hum. " * 20)
    return folder


@pytest.fixture
def call(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    for name, value in {"WORKSPACE": "ws", "MODELS": "models", "CONFIG": "config.toml"}.items():
        monkeypatch.setenv(f"REREADER_{name}", str(place / value))
    monkeypatch.delenv("REREADER_DATA", raising=False)
    monkeypatch.setattr("webbrowser.open", lambda address: True)

    def made(*arguments):
        code = run([*arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return made


@pytest.mark.parametrize("name", BASES)
def test_it_takes_anything(name, call):
    answer = json.loads(call("ask", "book.txt", QUESTION, *BARE, "--json")[1])
    base = [answer["run_id"] if given == "RUN" else given for given in BASES[name]]
    texts = ODD[:4] if name in ("ask", "compare") else ODD  # they take a while, and most options of the others
    for arguments in tried(COMMANDS[name], base, texts):
        code, _, err = call(*name.split(), *arguments)
        lines = [line for line in err.splitlines() if line.startswith("error:")]
        assert code in (0, 2, 4), (arguments, err)
        assert len(lines) == (code == 2), (arguments, err)
        assert not re.search(r"Traceback|Internal error|REREADER_DEBUG", err), (arguments, err)


@pytest.mark.parametrize("content", [b"PK\x03\x04\xc9\xff", b"no json\n", b"[1]\n", b"1\n", b'{"row": "result"}\n'])
@pytest.mark.parametrize("name", ["bench scaling", "bench forgetting"])
def test_a_file_that_holds_no_rows_gets_one_line(name, content, call, place):
    (place / "rows.jsonl").write_bytes(content)
    code, out, err = call(*name.split(), "rows.jsonl", *BASES[name][1:])
    assert (code, out, err.count("error:"), "Internal" in err) in ((2, "", 1, False), (0, out, 0, False)), err
