"""Graphs of installed packages and of single files are found; one that is broken harms no other."""

import logging
import sys
import textwrap

import pytest

from rereader.graphs import registry
from rereader.graphs.registry import all_graphs, get_graph, load_graph_file, reading_graph
from rereader.graphs.retrieval import RetrievalSettings
from rereader.graphs.retrieval import build as build_retrieval
from rereader.schema import InputError

GRAPH = '''
"""{doc}"""

from rereader.graphs.registry import reading_graph
from rereader.graphs.retrieval import RetrievalSettings, build as other

{before}

@reading_graph("{name}", system="ours", honesty="ours", settings=RetrievalSettings)
def build(settings: RetrievalSettings):
    """Build it."""
    return other(settings)

{after}
'''


def source(name, doc="A graph of somebody's.", before="", after=""):
    return textwrap.dedent(GRAPH).format(name=name, doc=doc, before=before, after=after)


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """What the test registers and imports is gone afterwards."""
    built_in = all_graphs()
    for name in ("_GRAPHS", "_TRIED", "_BROKEN"):
        monkeypatch.setattr(registry, name, getattr(registry, name).copy())
    known = set(sys.modules)
    yield built_in
    for name in set(sys.modules) - known:
        if "oddpack" in name or "rereader_graph_" in name:
            del sys.modules[name]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package of one module on the path: the entry points are those of a real distribution."""

    def write(package, text):
        site = tmp_path / "site"
        info = site / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        module = package.replace("-", "_")
        (site / f"{module}.py").write_text(text, encoding="utf-8")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[rereader.graphs]\nmine = {module}\n", encoding="utf-8")
        monkeypatch.syspath_prepend(str(site))
        registry._TRIED.discard(registry.GROUP)

    return write


@pytest.fixture
def folder(tmp_path, monkeypatch):
    made = tmp_path / "mine"
    made.mkdir()
    monkeypatch.setenv("REREADER_GRAPHS", str(made))
    return made


def names():
    return [graph.name for graph in all_graphs()]


def test_a_package_brings_its_graph(install):
    install("oddpack-good", source("odd"))
    assert "odd" in names()
    found = get_graph("odd")
    assert (found.summary, found.origin) == ("A graph of somebody's.", "oddpack_good")
    assert list(found.build(found.settings({})).nodes)[-1] == "finish"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (source("odd", after="raise ValueError('no\\nluck')"), "ValueError: no luck (oddpack_bad.py, line "),
        (source("odd", before="import oddpack_missing"), "No module named 'oddpack_missing' (oddpack_bad.py, line "),
        (source("odd", after="import sys; sys.exit(3)"), "SystemExit: 3"),
        ("def (", "SyntaxError: "),
        (source("retrieval"), "rereader.graphs.retrieval has it and oddpack_bad wants it too"),
    ],
)
def test_a_broken_package_is_named_once_and_harms_no_other(install, restored, caplog, text, reason):
    install("oddpack-bad", text)
    with caplog.at_level(logging.WARNING):
        assert all_graphs() == restored
        assert all_graphs() == restored
    assert len(caplog.messages) == 1
    assert "package oddpack-bad (oddpack_bad) could not be loaded: " in caplog.messages[0]
    assert reason in caplog.messages[0]
    assert "\n" not in caplog.messages[0]
    with pytest.raises(InputError, match=r"There is no graph 'odd'.*oddpack-bad"):
        get_graph("odd")


def test_files_of_the_named_folder_are_graphs(folder, restored):
    (folder / "odd.py").write_text(source("odd"), encoding="utf-8")
    (folder / "test_odd.py").write_text("raise SystemExit", encoding="utf-8")
    (folder / "_odd.py").write_text("raise SystemExit", encoding="utf-8")
    (folder / "notes.txt").write_text("no graph", encoding="utf-8")
    assert set(names()) == {"odd", *(graph.name for graph in restored)}
    assert get_graph("odd").origin == str(folder / "odd.py")


def test_no_other_folder_is_looked_into(folder, tmp_path, monkeypatch, workspace):
    for where in (tmp_path, workspace, workspace / "graphs"):
        where.mkdir(exist_ok=True)
        (where / "odd.py").write_text("raise SystemExit", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names()
    assert registry._BROKEN == {}


def test_a_folder_that_is_not_there_is_no_fault(tmp_path, monkeypatch, restored):
    monkeypatch.setenv("REREADER_GRAPHS", str(tmp_path / "nowhere"))
    assert all_graphs() == restored


def test_a_broken_file_is_named_and_the_next_one_found(folder, caplog):
    (folder / "a.py").write_text(source("a", after="1 / 0"), encoding="utf-8")
    (folder / "b.py").write_text(source("b"), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert {"a", "b"} & set(names()) == {"b"}
    assert f"graph file {folder / 'a.py'} could not be loaded: ZeroDivisionError" in caplog.messages[0]


def test_a_name_is_taken_by_the_first_file(folder, caplog):
    for name in ("a", "b"):
        (folder / f"{name}.py").write_text(source("odd"), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert names().count("odd") == 1
    assert f"{folder / 'a.py'} has it and {folder / 'b.py'} wants it too" in caplog.messages[0]
    assert get_graph("odd").origin == str(folder / "a.py")


def test_a_file_may_be_loaded_before_its_folder_is_looked_into(folder):
    path = folder / "odd.py"
    path.write_text(source("odd"), encoding="utf-8")
    module = load_graph_file(path)
    assert load_graph_file(folder / ".." / "mine" / "odd.py") is module
    assert get_graph("odd").build is module.build


def test_a_file_that_fails_can_be_loaded_again(folder):
    path = folder / "odd.py"
    path.write_text("1 / 0", encoding="utf-8")
    with pytest.raises(ZeroDivisionError):
        load_graph_file(path)
    path.write_text(source("odd") + "# mended", encoding="utf-8")
    load_graph_file(path)
    assert "odd" in registry._GRAPHS
    with pytest.raises(InputError, match="no graph file"):
        load_graph_file(folder / "none.py")


def test_a_taken_name_is_refused_and_one_module_may_register_anew():
    register = reading_graph("retrieval", system="s", honesty="baseline", settings=RetrievalSettings)

    def build(settings):
        return build_retrieval(settings)

    with pytest.raises(InputError, match=r"'retrieval' is taken: rereader\.graphs\.retrieval has it and .*registry"):
        register(build)
    again = reading_graph("odd", system="s", honesty="ours", settings=RetrievalSettings)
    assert again(build) is again(build)


def test_a_form_of_a_graph_may_be_closer_to_its_paper_than_the_others():
    graph = get_graph("evidence-replay")
    labels = {preset: graph.label(graph.settings({"preset": preset})) for preset in ("paper", "last-layer", "default")}
    assert labels == {"paper": "faithful", "last-layer": "analogue", "default": "ours"}
    memory = get_graph("memory-agent")
    assert memory.label(memory.settings({})) == memory.honesty == "faithful"
