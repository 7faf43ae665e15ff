"""ZIP archives: every member a document; names made safe; limits on files, bytes and ratio."""

import io
import struct
import time
import zipfile

import pytest

from rereader.schema import InputError
from rereader.tools.formats import archive
from rereader.tools.loaders import load_source


def packed(files, how=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return stream.getvalue()


@pytest.fixture
def load(tmp_path):
    def load_bytes(data, name="a.zip", **options):
        path = tmp_path / name
        path.write_bytes(data)
        return load_source(path, **options)

    return load_bytes


def test_each_member_is_a_document_cited_by_its_own_name(cite, fact, filler):
    sentence = fact()
    body = "\n\n".join([*filler(2), "# Bread", sentence])
    page = f"<h1>Page</h1><p>{filler(1)[0]}</p>"
    data = packed({"notes/a.md": body, "b.html": page, "c.txt": filler(1)[0]})
    found, _ = cite("letters.zip", data, sentence)
    assert (found.document, found.section) == ("letters.zip/notes/a.md", "Bread")


def test_what_is_left_out_is_said(load):
    inner = packed({"x.txt": "hidden text"})
    files = {
        "a.txt": "some text",
        "b.png": b"\x89PNG\r\n\x1a\n\0",
        "c.zip": inner,
        "d.txt": " ",
        "e.pdf": b"%PDF-1.4 x",
    }
    [loaded] = load(packed({**files, ".hidden": "x", "__MACOSX/a.txt": "x"}))
    assert (loaded.title, loaded.text) == ("a.zip/a.txt", "some text")
    said = "; ".join(loaded.warnings)
    for words in ("1 binary file", "1 archive", "1 empty file", "1 unreadable file", "damaged PDF"):
        assert words in said


def test_an_archive_in_a_folder(tmp_path):
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a.zip").write_bytes(packed({"x/y.txt": "some text"}))
    (tmp_path / "f" / "b.txt").write_text("other text")
    assert [text.title for text in load_source(tmp_path / "f")] == ["a.zip/x/y.txt", "b.txt"]


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("/root.txt", "root.txt"),
        ("C:\\docs\\a.txt", "docs/a.txt"),
        ("a\x1b[31m\n.txt", "a[31m.txt"),
        ("./a//b", "a/b"),
        ("..", ""),
    ],
)
def test_names_are_made_safe(name, clean):
    assert archive.cleaned(name) == clean


def lying(data, size):
    """The archive with another unpacked size in its directory."""
    at = data.rindex(b"PK\x01\x02") + 24
    return data[:at] + struct.pack("<I", size) + data[at + 4 :]


def encrypted():
    data = bytearray(packed({"a.txt": "some text"}))
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + at] |= 1
    return bytes(data)


BAD = {
    "bomb": (lambda: packed({"a.txt": b"a" * 2**25}), "more than 200 times its size"),
    "more than allowed": (lambda: packed({"a.txt": bytes(range(256)) * 2**15}), "unpacks to more than 4.0 MiB"),
    "a size that lies": (lambda: lying(packed({"a.txt": "a" * 999}), 99), "no readable text .*damaged"),
    "cut off": (lambda: packed({"a.txt": "text"})[:-30], "damaged ZIP"),
    "empty": (lambda: packed({}), "no readable text"),
    "only archives": (lambda: packed({"b.zip": packed({"a.txt": "x"})}), "skipped 1 archive"),
    "encrypted": (encrypted, "encrypted"),
    "a table of Excel": (lambda: packed({"[Content_Types].xml": "", "xl/workbook.xml": ""}), "XLSX"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_archive_that_cannot_be_read_gets_one_line_soon(case, load):
    make, words = BAD[case]
    data = make()
    begun = time.monotonic()
    with pytest.raises(InputError, match=words) as raised:
        load(data, max_bytes=4 * 2**20 if case == "more than allowed" else 2**26)
    assert raised.value.hint
    assert "\n" not in str(raised.value)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("count", [11, 70_000])
def test_too_many_files_are_refused(count, load, monkeypatch):
    monkeypatch.setattr(archive, "MAX_FILES", 10)
    data = packed(dict.fromkeys((f"{n}.txt" for n in range(count)), "x"), zipfile.ZIP_STORED)
    with pytest.raises(InputError, match=f"{count:,} files; at most 10 are read"):
        load(data)


def test_a_directory_that_lies_about_its_length_is_counted(load, monkeypatch):
    monkeypatch.setattr(archive, "MAX_FILES", 10)
    data = packed(dict.fromkeys((f"{n}.txt" for n in range(20)), "x"))
    end = data.rindex(b"PK\x05\x06")
    with pytest.raises(InputError, match="20 files"):
        load(data[: end + 8] + b"\1\0\1\0" + data[end + 12 :])


def test_a_wrong_password_is_said(load):
    with pytest.raises(InputError, match="password does not open"):
        load(encrypted(), password="sesame")


def test_the_limit_is_one_for_all_files_of_a_folder(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.zip").write_bytes(packed({"a.txt": "word " * 80_000}))
    assert len(load_source(tmp_path, max_bytes=2**21)) == 4
    with pytest.raises(InputError, match=r"together hold more than 1\.0 MiB"):
        load_source(tmp_path, max_bytes=2**20)
