"""A bank with blocks of scripted chunks in it, and what harms them."""

import shutil

from rereader.memory.bank import Means
from rereader.memory.invariants import check_library
from rereader.models.base import Segment
from rereader.models.kvmemory import Compression
from rereader.models.scripted import ScriptedModel
from rereader.schema import Chunk, Span

MODEL = ScriptedModel([], name="blocks", attends=True)
HOW = Compression(ratio=2.0)
WORDS = ("river", "tower", "winter", "island", "lamp", "harbour", "letter", "stone")


def means(**changes):
    fields = {"model": MODEL.name, "fingerprint": MODEL.fingerprint, "opening": "o", "scorer": HOW.scorer}
    return Means(**{**fields, "ratio": HOW.ratio, "budgets": HOW.budgets, "precision": "bfloat16", **changes})


def text_of(seed, words=40):
    return " ".join(f"{WORDS[(seed * 7 + i * i) % len(WORDS)]}{(seed + i) % 11}" for i in range(words))


def compress(text):
    [block] = MODEL.compress_kv([(Segment("system", "Open."), Segment("user", text, trusted=False))], HOW)
    return block


def cut(library, seed=0, chunks=6):
    """A document of so many chunks, each of its own words."""
    texts = [f"{text_of(100 * seed + number)}\n" for number in range(chunks)]
    document = library.documents.add("".join(texts), title=f"t{seed}", source="s", loader="text/1")
    at, found = 0, []
    for number, text in enumerate(texts):
        span = Span(document_id=document.id, start=at, end=at + len(text))
        found.append(Chunk(id=str(number), span=span, token_count=40, ordinal=number))
        at += len(text)
    passages = [(c.ordinal, c.span.start, c.span.end, library.documents.text_of(c.span)) for c in found]
    return library.chunks.add(document.id, "size", found, passages)


def put(library, block_set, ordinals):
    for ordinal in ordinals:
        chunk = library.chunks.chunk(block_set.chunking, ordinal)
        text = library.documents.text_of(chunk.span)
        library.bank.enter(block_set, [library.bank.write(block_set, chunk, text, compress(text))])


def files(library):
    return sorted(path for path in (library.workspace / "kv").rglob("*") if path.is_file())


def faults(library):
    return [finding for finding in check_library(library) if finding.state != "ok"]


def flip(path):
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def swap(path):
    others = [other for other in path.parent.parent.rglob("*.safetensors") if other != path]
    shutil.copyfile(others[0], path)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-7])


def a_folder(path):
    """A folder where a block's file was: the system opens and unlinks it no more."""
    path.unlink()
    path.mkdir()
