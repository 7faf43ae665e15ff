import codecs
import gzip
import io
import os
import random
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.schema import InputError
from rereader.tools.decoding import binary_kind, decode
from rereader.tools.loaders import load_source, loader_version
from rereader.tools.sources import display

FRENCH = "Le garçon était à l'école; l'été dernier, il a mangé des pêches près de la forêt. Où êtes-vous né?\n"
RUSSIAN = "Мой дядя самых честных правил, когда не в шутку занемог, он уважать себя заставил.\n"
GERMAN = "Die Bären laufen über die Straße; größer, schöner, süß, das Mädchen fährt nach München.\n"
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n"
PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip)


def load(path, **kwargs):
    (loaded,) = load_source(path, **kwargs)
    return loaded


@pytest.fixture
def write(tmp_path):
    def write_file(name, data):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return write_file


@settings(deadline=None)
@given(PRINTABLE)
def test_utf8_text_comes_back_as_it_was(text):
    assert decode(text.encode(), "x").text == text.removeprefix("\ufeff").replace("\r\n", "\n")


@settings(deadline=None)
@given(PRINTABLE, st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]))
def test_byte_order_marks_decide_and_are_dropped(text, encoding):
    decoded = decode(text.encode(encoding), "x")
    assert decoded.text == text.removeprefix("\ufeff")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_encodings_are_known_without_a_mark(write, encoding):
    loaded = load(write("a.txt", FRENCH.encode(encoding)))
    assert (loaded.text, loaded.encoding) == (FRENCH, encoding)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (FRENCH, "cp1252"),
        (GERMAN, "latin-1"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
    ],
)
def test_other_encodings_are_guessed(write, text, encoding):
    assert load(write("a.txt", (text * 40).encode(encoding))).text == text * 40


def test_a_guess_from_little_is_a_warning(write):
    loaded = load(write("a.txt", "Un café noir".encode("cp1252")))
    assert loaded.text == "Un café noir"
    assert "guess" in loaded.warnings[0]


def test_a_guess_deep_in_a_large_file(write):
    text = "plain line of text\n" * 10_000 + GERMAN * 20
    assert load(write("a.txt", text.encode("cp1252"))).text == text


def test_explicit_encoding(write):
    path = write("a.txt", RUSSIAN.encode("cp866"))
    assert load(path, encoding="cp866").text == RUSSIAN
    assert load(write("b.txt", JAPANESE.encode("utf-16-le")), encoding="utf-16-le").text == JAPANESE


@pytest.mark.parametrize(
    ("data", "encoding", "message"),
    [
        (b"abc\xff", "utf-8", "byte 0xff at offset 3"),
        (b"abc", "no-such", "cannot be used"),
        (b"abc", "base64", "cannot be used"),
        (b"abc", "nul\0", "cannot be used"),
        (b"abc", "utf-16", "offset"),
        (b"a+2AA-b", "utf-7", "lone surrogate"),
    ],
)
def test_a_wrong_encoding_says_where(write, data, encoding, message):
    with pytest.raises(InputError, match=message) as raised:
        load(write("a.txt", data), encoding=encoding)
    assert "a.txt" in raised.value.message
    assert raised.value.hint
    assert "\n" not in str(raised.value)


def test_damaged_utf8_stays_utf8_with_a_warning(write):
    data = (FRENCH * 20).encode()
    damaged = data[:50] + b"\xff" + data[50:]
    loaded = load(write("a.txt", damaged))
    assert loaded.encoding == "utf-8"
    assert loaded.text.count("\ufffd") == 1
    assert loaded.text.replace("\ufffd", "") == FRENCH * 20
    assert "offset 50" in loaded.warnings[0]


def test_only_crlf_is_normalised(write):
    loaded = load(write("a.txt", b"\xef\xbb\xbfa\r\nb\rc\n\n d \t\x0c\xe2\x80\xa8e\r\n"))
    assert loaded.text == "a\nb\rc\n\n d \t\x0c\u2028e\n"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"%PDF-1.7\n1 0 obj", "PDF"),
        (b"PK\x03\x04\x14\0\x06\0word/document.xml", "DOCX"),
        (b"PK\x03\x04\n\0\0\0mimetypeapplication/epub+zip", "EPUB"),
        (b"PK\x03\x04\x14\0\x06\0other", "ZIP"),
        (b"\x89PNG\r\n\x1a\n\0\0", "PNG"),
        (b"\x7fELF\x02\x01", "ELF"),
        (b"text with a zero \0 byte", "binary"),
        (b"\x01\x02\x03\x04 abc" * 9, "binary"),
        (random.Random(1).randbytes(5_000), "binary"),
    ],
)
def test_binary_files_are_named(write, data, kind):
    with pytest.raises(InputError, match=kind) as raised:
        load(write("a.txt", data))
    assert "text" in raised.value.hint
    with pytest.raises(InputError):
        load(write("a.txt", data), encoding="latin-1")


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_give_text_or_one_clear_error(data):
    try:
        (loaded,) = load_source("-", stdin=io.BytesIO(data))
    except InputError as error:
        assert error.hint
        assert "\n" not in error.message
    else:
        assert loaded.text.strip()
        loaded.text.encode()
        assert "\r\n" not in loaded.text


@pytest.mark.parametrize("data", [b"", b" \n\t ", codecs.BOM_UTF8, codecs.BOM_UTF8 + b"\r\n"])
def test_empty_files_are_refused(write, data):
    with pytest.raises(InputError, match=r"empty|white space"):
        load(write("a.txt", data))


def test_missing_and_impossible_paths(tmp_path):
    for path in (tmp_path / "missing.txt", tmp_path / ("x" * 5_000), "a\0b"):
        with pytest.raises(InputError) as raised:
            load_source(path)
        assert raised.value.exit_code == 2


def test_permission_errors_are_explained(write, monkeypatch):
    path = write("a.txt", "secret")

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(InputError, match="may not be read"):
        load(path)


@pytest.mark.parametrize(
    ("name", "title", "loader"),
    [
        ("book.txt", "book.txt", "text/1"),
        ("book.txt.gz", "book.txt", "text/1"),
        ("notes.MD", "notes.MD", "markdown/1"),
        ("main.py", "main.py", "source-code/1"),
        ("main.c.gz", "main.c", "source-code/1"),
        ("README", "README", "text/1"),
        (".gz", ".gz", "text/1"),
    ],
)
def test_titles_and_loaders(write, name, title, loader):
    data = gzip.compress(b"some text") if name.endswith(".gz") else b"some text"
    path = write(name, data)
    loaded = load(path)
    assert (loaded.text, loaded.title, loaded.loader, loaded.source) == ("some text", title, loader, str(path))
    assert loader_version(path) == loader


def test_gzip_is_known_by_its_bytes(write):
    packed = gzip.compress(b"one ") + gzip.compress(b"two")
    assert load(write("plain.txt", packed)).text == "one two"
    assert load(write("lying.gz", b"not packed")).text == "not packed"


def test_damaged_gzip(write):
    packed = gzip.compress(FRENCH.encode() * 100)
    for data in (packed[:-12], packed[:40], packed[:2]):
        with pytest.raises(InputError, match=r"cut off|damaged"):
            load(write("a.gz", data))
    with pytest.raises(InputError, match="damaged"):
        load(write("a.gz", packed[:30] + b"\xff\xff\xff" + packed[33:]))
    with pytest.raises(InputError, match="gzip"):
        load(write("a.gz", gzip.compress(packed)))


def test_a_gzip_bomb_is_refused_at_the_limit(write):
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = b"".join(bomb.compress(b"a" * 2**20) for _ in range(64)) + bomb.flush()
    assert len(data) < 2**18
    with pytest.raises(InputError, match="more than 8 MiB"):
        load(write("bomb.gz", data), max_bytes=8 * 2**20)


def test_a_file_over_the_limit_is_refused(write):
    with pytest.raises(InputError, match="more than 100 bytes"):
        load(write("a.txt", b"a" * 101), max_bytes=100)
    assert len(load(write("a.txt", b"a" * 100), max_bytes=100).text) == 100


def test_standard_input():
    (loaded,) = load_source("-", stdin=io.BytesIO(gzip.compress(FRENCH.encode())))
    assert (loaded.text, loaded.source, loaded.title) == (FRENCH, "-", "standard input")
    with pytest.raises(InputError, match="standard input is empty"):
        load_source("-", stdin=io.BytesIO(b""))


def test_a_folder_is_read_sorted_without_hidden_and_binary_files(write, tmp_path):
    for name in ("b.txt", "a/z.md", "a/c.py", ".hidden/x.txt", "a/.secret"):
        write(f"f/{name}", f"text of {name}")
    write("f/picture.png", b"\x89PNG\r\n\x1a\n\0")
    write("f/empty.txt", b" \n")
    write("f/cut.txt", gzip.compress(b"text" * 99)[:-3])
    texts = load_source(tmp_path / "f")
    assert [text.title for text in texts] == ["b.txt", "a/c.py", "a/z.md"]
    assert [text.loader for text in texts] == ["text/1", "source-code/1", "markdown/1"]
    assert texts[0].source == str(tmp_path / "f" / "b.txt")
    warnings = "; ".join(texts[0].warnings)
    assert "skipped 1 binary file: picture.png" in warnings
    assert "skipped 1 empty file: empty.txt" in warnings
    assert "cut.txt" in warnings
    assert not texts[1].warnings


def test_of_many_skipped_files_some_are_named(write, tmp_path):
    write("f/a.txt", "text")
    for number in range(5):
        write(f"f/{number}.png", b"\x89PNG\r\n\x1a\n\0")
    [text] = load_source(tmp_path / "f")
    assert text.warnings == ("skipped 5 binary files: 0.png, 1.png, 2.png and 2 more",)


@pytest.mark.parametrize("name", ["a.pdf", "b.DOCX", "c.epub"])
def test_what_is_named_like_a_document_and_is_none_is_damaged(write, tmp_path, name):
    path = write(f"f/{name}", b"\0\1\2 nothing of the kind")
    kind = name.partition(".")[2].upper()
    with pytest.raises(InputError, match=f"is damaged, or no {kind} file"):
        load_source(path)
    write("f/z.txt", "text")
    [text] = load_source(tmp_path / "f")
    assert f"skipped 1 unreadable file: {path} is damaged, or no {kind} file" in text.warnings[0]


def test_a_folder_without_text_is_refused(write, tmp_path):
    write("f/a.png", b"\x89PNG\r\n\x1a\n\0")
    with pytest.raises(InputError, match=r"no readable text .*1 binary file"):
        load_source(tmp_path / "f")
    (tmp_path / "bare").mkdir()
    with pytest.raises(InputError, match="no readable text"):
        load_source(tmp_path / "bare")


def test_a_folder_over_the_limit_is_refused(write, tmp_path):
    for name in "abc":
        write(f"f/{name}", "x" * 60)
    with pytest.raises(InputError, match="folder"):
        load_source(tmp_path / "f", max_bytes=100)


def test_links_do_not_loop(write, tmp_path):
    write("f/a.txt", "text")
    (tmp_path / "f" / "loop").symlink_to(tmp_path / "f", target_is_directory=True)
    (tmp_path / "f" / "broken").symlink_to(tmp_path / "nowhere")
    assert [text.title for text in load_source(tmp_path / "f")] == ["a.txt"]


def test_file_names_that_are_no_text_can_be_shown():
    assert display(Path(os.fsdecode(b"a/bad\xff.txt"))) == "a/bad\ufffd.txt"


def test_one_endless_line(write):
    loaded = load(write("a.txt", b"a" * 5_000_000 + b"\xe9"))
    assert len(loaded.text) == 5_000_001


def test_text_is_not_mistaken_for_binary():
    for text in (FRENCH, "BM is no bitmap", "MZ", "\x1b[1mbold\x1b[0m", "PK", "GIF is a format", "a\fb\tc\vd"):
        assert binary_kind(text.encode()) is None
