"""Files of unknown size are read in a process of their own: the same as here, within limits, and without the folder."""

import subprocess
import sys

import pytest
from hostile_files import pdf_bomb, pdf_of
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.schema import InputError
from rereader.schema.errors import MissingExtra
from rereader.tools.formats import apart, kinds
from rereader.tools.formats.apart import Apart
from rereader.tools.formats.base import Options
from rereader.tools.loaders import load_source

HTML = b"<h1>One</h1><p>Text \xc3\xbc &#128029;</p><h2>Two</h2><p>More</p>"


@pytest.fixture(scope="module")
def reader():
    with Apart() as made:
        yield made


@pytest.fixture(scope="module")
def words():
    return pdf_of(b"The bees hum")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("html", HTML),
        ("table", b"town;bees\nTarve;12\nOmbrig;13\n"),
        ("jsonl", b'{"a": 1}\nno json\n'),
        ("markdown", b"# One\n\ntext\n\n## Two\n\nmore"),
    ],
)
def test_what_is_read_apart_is_what_is_read_here(kind, data, reader):
    assert reader.read(kind, data, "a", Options()) == kinds.load(kind, data, "a", Options())


@settings(max_examples=40)
@given(data=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_so_are_errors(data, reader):
    def said(read):
        try:
            return read("html", b"<p>" + data, "a.html", Options())
        except InputError as error:
            return type(error), error.message, error.hint

    assert said(reader.read) == said(kinds.load)


def test_one_process_reads_many_files_and_a_new_one_goes_on_where_it_was_lost(words, monkeypatch):
    with Apart() as reader:
        reader.read("pdf", words, "a.pdf", Options())
        first = reader._process.pid
        assert reader.read("pdf", words, "a.pdf", Options()).text.strip() == "The bees hum"
        assert reader._process.pid == first
        reader._process.kill()
        with pytest.raises(InputError, match=r"a\.pdf cannot be read: its reader was killed"):
            reader.read("pdf", words, "a.pdf", Options())
        assert reader.read("pdf", words, "a.pdf", Options()).text.strip() == "The bees hum"
        last = reader._process
    assert last.poll() is not None


def test_a_page_that_unpacks_to_more_than_is_allowed_costs_a_process(tmp_path, monkeypatch):
    monkeypatch.setattr(apart, "MEMORY", 150 * 2**20)
    path = tmp_path / "bomb.pdf"
    path.write_bytes(pdf_bomb(200))
    assert path.stat().st_size < 10_000
    with pytest.raises(InputError, match=r"more than 0\.1 GiB of memory") as raised:
        load_source(path)
    assert "\n" not in str(raised.value) and raised.value.hint


def test_a_page_that_takes_too_long_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(apart, "SECONDS", 1)
    path = tmp_path / "slow.pdf"
    path.write_bytes(pdf_bomb(60))
    with pytest.raises(InputError, match="more than 1 seconds to unpack"):
        load_source(path)


def test_many_rows_of_nothing_are_bounded_too(tmp_path, monkeypatch):
    monkeypatch.setattr(apart, "MEMORY", 100 * 2**20)
    monkeypatch.setattr(apart, "MEMORY_FOR_EACH_BYTE", 0)
    path = tmp_path / "rows.csv"
    path.write_bytes(b"a\n1\n" + b"1\n" * 2_500_000)
    with pytest.raises(InputError, match="GiB of memory"):
        load_source(path)


def test_a_missing_package_is_named(words, tmp_path, monkeypatch):
    (tmp_path / "pypdfium2.py").write_text("raise ModuleNotFoundError('no')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Apart() as reader, pytest.raises(MissingExtra, match="Reading PDF files") as raised:
        reader.read("pdf", words, "a.pdf", Options())
    assert "rereader[documents]" in raised.value.hint


def test_no_module_is_taken_from_the_folder_that_we_are_in(words, tmp_path, monkeypatch):
    for name in ("json", "psutil", "pypdfium2", "rereader"):
        (tmp_path / f"{name}.py").write_text("open('taken', 'w')")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pdf").write_bytes(words)
    assert load_source("a.pdf")[0].text.strip() == "The bees hum"
    assert not (tmp_path / "taken").exists()


BREAKING = """
import os, signal
from rereader.tools.formats import pdf
from rereader.tools.formats.base import Parsed

def load(data, name, options):
    if b"unexpected" in data:
        raise KeyError("glyph")
    if b"killed" in data:
        os.kill(os.getpid(), signal.SIGKILL)
    if b"crashed" in data:
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"left" in data:
        os._exit(7)
    if b"starved" in data:
        raise MemoryError
    return Parsed("The bees hum.")

pdf.load = load
from rereader.tools.formats.apart_child import main
main()
"""
SAID = {
    "unexpected": "its reader failed (KeyError: 'glyph')",
    "killed": "its reader was killed, perhaps for want of memory",
    "crashed": "GiB of memory to unpack, or is damaged",
    "left": "its reader ended with code 7",
    "starved": "GiB of memory to unpack.",
}


@pytest.fixture
def breaking(monkeypatch, tmp_path):
    """Reads PDF files in a process that breaks as they say."""
    (tmp_path / "breaking.py").write_text(BREAKING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(apart, "_MODULE", "breaking")
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a-sound", *SAID, "z-sound"):
        (folder / f"{name}.pdf").write_bytes(b"%PDF-1.4 " + name.encode())
    return folder


@pytest.mark.parametrize("name", SAID)
def test_a_reader_that_breaks_says_how(breaking, name):
    with pytest.raises(InputError) as raised:
        load_source(breaking / f"{name}.pdf")
    assert f"{name}.pdf" in raised.value.message and SAID[name] in raised.value.message
    assert raised.value.hint and "\n" not in str(raised.value)


def test_the_other_files_of_a_folder_go_on_and_what_is_left_out_is_counted(breaking):
    texts = load_source(breaking)
    assert [text.title for text in texts] == ["a-sound.pdf", "z-sound.pdf"]
    [warning] = texts[0].warnings
    assert warning.startswith(f"skipped {len(SAID)} unreadable files: ") and "SIGSEGV" not in warning


def test_a_reader_that_breaks_here_costs_its_file_only(tmp_path, monkeypatch):
    def load(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("rereader.tools.formats.html.load", load)
    (tmp_path / "a.html").write_bytes(HTML)
    (tmp_path / "b.txt").write_text("The bees hum.")
    assert [text.title for text in load_source(tmp_path)] == ["b.txt"]
    with pytest.raises(InputError, match=r"a\.html cannot be read: its reader failed \(ZeroDivisionError\)"):
        load_source(tmp_path / "a.html")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's walls are Linux's")
def test_the_process_can_write_nothing_start_nothing_and_reach_nobody(tmp_path):
    code = (
        "import os, socket, subprocess, sys\n"
        "from rereader.tools.sandbox_lock import lock_writing\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "layers = lock_writing()\n"
        "def tried(what):\n"
        "    try:\n        what()\n    except OSError:\n        return 'refused'\n    return 'done'\n"
        "print(tried(lambda: open(sys.argv[0])), tried(lambda: os.listdir('/')))\n"
        "writes = [tried(lambda: open(sys.argv[1], 'w')), tried(lambda: os.mkdir(sys.argv[1] + 'd'))]\n"
        "starts = [tried(lambda: subprocess.run([sys.executable, '-c', '']))]\n"
        "reached = [tried(lambda: socket.create_connection(listener.getsockname(), 1))]\n"
        "print(*(writes + starts if 'landlock' in layers else []), *(reached if 'network' in layers else []))\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, script, tmp_path / "x"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "done done"
    assert set(second.split()) <= {"refused"} and not (tmp_path / "x").exists()
