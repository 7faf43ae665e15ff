"""What is killed: reading a document in, asking through several graphs, forking, measuring, training."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rereader.memory.library import Library
from rereader.models.identity import hash_files
from rereader.models.measure import Settings, store_settings
from rereader.models.tiny import tiny_model
from rereader.testing.soak.children import Children
from rereader.testing.soak.kills import Case
from rereader.testing.texts import essay, plant
from rereader.training.compressor_settings import CompressorSettings, make_settings, write_settings

QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
_FACT = "The strongbox of the Ulpelhala office opens with 5265."
_SENTENCES = 500
_GOOD = (0, 4)
_EMBEDDER = ("--role", "embedder=hashing")
_SMALL_TRAINING = {
    "window": 16,
    "windows": 2,
    "continuation": 8,
    "ratios": (2, 4),
    "measured_ratios": (4,),
    "chunks": 2,
    "scorers": ("recent",),
}
_SUITE = """about = "Planted facts in a short essay."
benchmark = "needles"
split = "dev"
seeds = [0]

[options]
tokens = 4_000
group = 6

[[systems]]
name = "search"
graph = "retrieval"
settings = { ranker = "bm25" }

[[systems]]
name = "notes"
graph = "memory-agent"
settings = { block_tokens = 1_024 }
"""


def served(url: str) -> tuple[str, ...]:
    """Options with which a chat server reads, writes gists and scores."""
    name = f"openai:fake@{url}"
    return ("--model", name, "--role", f"gister={name}", "--role", "scorer=none", *_EMBEDDER)


def local(folder: Path) -> tuple[str, ...]:
    """Options with which a local model does everything, in the command's own process."""
    roles = ("--role", f"gister={folder}", "--role", f"scorer={folder}")
    return ("--model", str(folder), *roles, *_EMBEDDER, "--runtime", "transformers")


def save_model(folder: Path, models_dir: Path) -> Path:
    """A tiny random-weight model in a folder, with room for a text of some pages; it is to run in float32.

    Its speed, which is else measured when it is first loaded, is written down as measured on one thread of a CPU.
    """
    from rereader.models.loading import settings_key

    model, tokenizer = tiny_model()
    model.config.max_position_embeddings = 16_384
    for part in (model, tokenizer):
        part.save_pretrained(folder)
    weights = hash_files([folder / "model.safetensors"])
    for precision in ("auto", "float32"):
        key = settings_key(weights, "cpu", precision, threads=1)
        store_settings(models_dir / ".settings.json", key, Settings())
    return folder


def document_text(sentences: int, seed: int = 7) -> str:
    """A made-up text with a fact in it."""
    return plant(essay(seed, sentences), [_FACT])


def write_document(folder: Path, sentences: int = _SENTENCES) -> Path:
    """The same in a file of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "document.txt"
    path.write_text(document_text(sentences), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Add:
    """``rereader add`` with gists that a model writes."""

    models: tuple[str, ...]
    name: str = "add"
    rereads: bool = False
    settings: tuple[str, ...] = ("--gist", "model")

    def prepare(self, folder: Path, children: Children) -> None:
        """Write the document."""
        write_document(folder)

    def command(self, folder: Path) -> list[str]:
        """Add it, as often as it takes."""
        return ["add", str(folder / "document.txt"), *self.settings, *self.models, *_common(folder)]

    def outcome(self, folder: Path) -> dict[str, Any]:
        """Nothing but the workspace."""
        return {}


@dataclass(frozen=True)
class Ask:
    """``rereader ask`` through a graph, and ``rereader runs resume`` after a kill."""

    models: tuple[str, ...]
    graph: str
    settings: tuple[str, ...] = ()
    name: str = ""
    rereads: bool = False
    sentences: int = _SENTENCES

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.graph)

    def prepare(self, folder: Path, children: Children) -> None:
        """Write the document."""
        write_document(folder, self.sentences)

    def command(self, folder: Path) -> list[str]:
        """Resume the run if there is one, else ask."""
        for run in _runs(folder):
            return ["runs", "resume", run, *_common(folder)]
        settings = [part for setting in self.settings for part in ("--set", setting)]
        asked = ["ask", str(folder / "document.txt"), QUESTION, "--graph", self.graph, *settings]
        return [*asked, *self.models, *_common(folder)]

    def outcome(self, folder: Path) -> dict[str, Any]:
        """Nothing but the workspace."""
        return {}


@dataclass(frozen=True)
class Fork:
    """``rereader fork`` of a finished run, with another question."""

    asked: Ask
    name: str = "fork"
    rereads: bool = False
    step: int = 2

    def prepare(self, folder: Path, children: Children) -> None:
        """Ask, unharmed."""
        self.asked.prepare(folder, children)
        ended = children.run(self.asked.command(folder))
        assert ended.code in _GOOD, ended.err

    def command(self, folder: Path) -> list[str]:
        """Resume the fork if there is one, else fork."""
        newest, *older = _runs(folder)
        if older:
            return ["runs", "resume", newest, *_common(folder)]
        question = "Which office has a strongbox, and where is the key?"
        changes = ["--step", str(self.step), "--question", question, "--runtime", "transformers"]
        return ["fork", newest, *changes, "--workspace", str(folder / "workspace"), "--json"]

    def outcome(self, folder: Path) -> dict[str, Any]:
        """Nothing but the workspace."""
        return {}


@dataclass(frozen=True)
class Bench:
    """``rereader bench run`` over a small suite of our own, one workspace kept; its data is in :func:`environment`."""

    models: tuple[str, ...]
    name: str = "bench"
    rereads: bool = False

    def prepare(self, folder: Path, children: Children) -> None:
        """Write the suite."""
        folder.mkdir()
        (folder / "suite.toml").write_text(_SUITE, encoding="utf-8")

    def command(self, folder: Path) -> list[str]:
        """Measure what has no row yet."""
        places = ["--out", str(folder / "rows.jsonl"), "--workspace", str(folder / "workspace")]
        return ["bench", "run", str(folder / "suite.toml"), *places, *self.models[:2], "--json"]

    def outcome(self, folder: Path) -> dict[str, Any]:
        """One row for each question and system, with the same answers."""
        rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
        named = ("system", "item", "status", "answer", "evidence", "scores")
        return {"rows": [[row[name] for name in named] for row in rows if row["row"] == "result"]}


@dataclass(frozen=True)
class Train:
    """``rereader train compressor --resume`` of a tiny model, with a checkpoint after every step."""

    model: Path
    name: str = "train"
    rereads: bool = False
    steps: int = 12

    def prepare(self, folder: Path, children: Children) -> None:
        """Write a text and the settings of a training that has not begun; the workspace stays empty."""
        text = write_document(folder)
        Library(folder / "workspace").close()
        schedule = {"steps": self.steps, "save_seconds": 0}
        values = {"model": str(self.model), "texts": [text], "schedule": schedule, **_SMALL_TRAINING}
        write_settings(folder / "compressor", make_settings(CompressorSettings, values))

    def command(self, folder: Path) -> list[str]:
        """Go on."""
        return ["train", "compressor", "--resume", "--out", str(folder / "compressor"), "--quiet"]

    def outcome(self, folder: Path) -> dict[str, Any]:
        """The same weights, bit for bit."""
        raw = (folder / "compressor" / "memory_tokens.safetensors").read_bytes()
        start = 8 + int.from_bytes(raw[:8], "little")  # the header says when they were made
        return {"weights": hashlib.sha256(raw[start:]).hexdigest()}


def served_cases(models: tuple[str, ...]) -> list[Case]:
    """What a chat server can read for."""
    ask = Ask(models, "compressed-memory", ("gist=model", "reasoner=model"))
    return [
        Add(models),
        ask,
        Ask(models, "memory-agent", ("block_tokens=1024",)),
        Ask(models, "gist-lookup", ("pagination=generate",)),
        Ask(models, "ledger"),
        Ask(models, "recursive"),
        Fork(Ask(models, "memory-agent", ("block_tokens=1024",))),
        Bench(models),
    ]


def local_cases(model: Path) -> list[Case]:
    """What needs the model's inside: blocks of keys and values, attention, losses, training."""
    models = local(model)
    return [
        Ask(
            models,
            "compressed-memory",
            ("reads=kv", "chunk_tokens=100", "waves=1", "max_new_tokens=8"),
            "kv",
            sentences=60,
        ),
        Ask(models, "evidence-replay", ("heads=0-0 1-1",), "replay", rereads=True, sentences=60),
        Ask(models, "active-recap", (), "recap", sentences=60),
        Train(model),
    ]


def environment(folder: Path, models_dir: Path) -> dict[str, str]:
    """Variables of the children: nobody's own settings, no accelerator, and a folder of data for ``bench``.

    Args:
        folder: Where the data goes: ten planted facts, and an essay to plant them in.
        models_dir: The folder of pulled models.
    """
    data = folder / "data"
    for name in ("needles", "essays"):
        (data / name).mkdir(parents=True)
    facts = [_needle(kind, number) for kind in ("single", "absent") for number in range(5)]
    (data / "needles" / "planted_facts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in facts))
    (data / "essays" / "essay.txt.gz").write_bytes(gzip.compress("".join(essay(3, 600)).encode(), mtime=0))
    places = {"REREADER_DATA": str(data), "REREADER_MODELS": str(models_dir)}
    return {**places, "REREADER_CONFIG": os.devnull, "CUDA_VISIBLE_DEVICES": "", "LANGGRAPH_STRICT_MSGPACK": "true"}


def _needle(kind: str, number: int) -> dict[str, Any]:
    place = f"Ulpel{'abcde'[number]}la"
    told = f"opens with {5000 + number}" if kind == "single" else "was painted once"
    question = f"With which number does the strongbox of {place} open?"
    needle = f"The strongbox of the {place} office {told}."
    answers = [str(5000 + number)]
    return {"id": f"{kind}-{number}", "kind": kind, "needles": [needle], "question": question, "answers": answers}


def _runs(folder: Path) -> Sequence[str]:
    """Ids of the runs that lie in a workspace, newest first."""
    if not (folder / "workspace" / "library.db").exists():
        return ()
    with closing(Library(folder / "workspace")) as library:
        return [run.id for run in library.runs.all()]


def _common(folder: Path) -> list[str]:
    return ["--workspace", str(folder / "workspace"), "--json", "--quiet"]
