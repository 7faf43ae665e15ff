"""Texts to train a compressor with, as tokens, and the parts of them that training never sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from rereader.evals.data import VARIABLE, data_folder, hash_files, read_text
from rereader.models.rendering import Renderer
from rereader.schema import InputError

Ids = tuple[int, ...]
_BOOKS = ("dracula.txt.gz", "great_expectations.txt.gz", "middlemarch.txt.gz", "moby_dick.txt.gz")
_SAMPLE = Path("bible") / "bible.txt"


@dataclass(frozen=True)
class TrainingTexts:
    """Tokens of texts.

    Args:
        train: Tokens of each text that training may see.
        held_out: Tokens of each text, or part of one, that it may not.
        digest: sha256 of the files.
    """

    train: tuple[Ids, ...]
    held_out: tuple[Ids, ...]
    digest: str

    def draw(self, rng: Random, length: int) -> Ids:
        """A stretch of a text; every stretch is as likely as any other."""
        return _draw(rng, self.train, length)

    def unseen(self, count: int, length: int) -> list[Ids]:
        """The same held-out stretches for every run with the same texts."""
        return [_draw(Random(f"held out {number}"), self.held_out, length) for number in range(count)]


def load_texts(
    files: Sequence[Path], held_out: Sequence[Path], share: float, length: int, renderer: Renderer
) -> TrainingTexts:
    """Read and tokenise texts.

    Args:
        files: Texts to train with, UTF-8, perhaps gzip-compressed.
        held_out: Texts to measure with; where there are none, the last part of each of ``files``.
        share: That part.
        length: Tokens of a stretch; a shorter text cannot be used.
        renderer: The model's.

    Raises:
        InputError: If there are no texts, one cannot be read, or all are too short.
    """
    if not files:
        raise InputError("There is no text to train with.", "Name text files with --text.")
    whole = [tuple(renderer.encode(_text(path))) for path in files]
    if held_out:
        train, unseen = whole, [tuple(renderer.encode(_text(path))) for path in held_out]
    else:
        cuts = [int(len(ids) * (1 - share)) for ids in whole]
        train = [ids[:cut] for ids, cut in zip(whole, cuts, strict=True)]
        unseen = [ids[cut:] for ids, cut in zip(whole, cuts, strict=True)]
    found = TrainingTexts(_long(train, length), _long(unseen, length), hash_files([*files, *held_out]))
    for part, what in ((found.train, "to train with"), (found.held_out, "that is held out")):
        if not part:
            msg = f"No text {what} has the {length:,} tokens of one stretch."
            raise InputError(msg, "Name longer texts, or make --window, --windows or --continuation smaller.")
    return found


def default_texts(models_dir: Path) -> list[Path]:
    """The sample book, and books of the benchmark data where they are here.

    Raises:
        InputError: If there are none.
    """
    found = [models_dir / _SAMPLE]
    with suppress(InputError):  # the sample book will do
        found += [data_folder() / "books" / name for name in _BOOKS]
    here = [path for path in found if path.is_file()]
    if not here:
        hint = f"Name text files with --text, run 'rereader models pull bible', or set {VARIABLE}."
        raise InputError("There is no text to train with.", hint)
    return here


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except (UnicodeDecodeError, EOFError, OSError) as error:
        raise InputError(f"{path} is not a UTF-8 text.", "Name plain text files, perhaps gzip-compressed.") from error


def _long(texts: Iterable[Ids], length: int) -> tuple[Ids, ...]:
    return tuple(ids for ids in texts if len(ids) >= length)


def _draw(rng: Random, texts: Sequence[Ids], length: int) -> Ids:
    starts = [len(ids) - length + 1 for ids in texts]
    place = rng.randrange(sum(starts))
    for ids, count in zip(texts, starts, strict=True):
        if place < count:
            return ids[place : place + length]
        place -= count
    raise AssertionError("A place lies in one of the texts.")
