"""What a GGUF file needs beside it to be asked by us: the tokenizer, the ends of a reply, the window."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rereader.models.files import hash_file
from rereader.models.identity import tokenizer_json
from rereader.models.manifest import read_manifest
from rereader.schema.errors import MissingExtra, ModelError


@dataclass(frozen=True)
class GgufParts:
    """A GGUF file and its companions; ``window`` is in tokens, ``eos`` are the tokens that end a reply."""

    file: Path
    tokenizer: Any
    window: int
    eos: frozenset[int]
    fingerprint: str


def has_llamacpp() -> bool:
    """Whether xllamacpp is installed; imports nothing."""
    return importlib.util.find_spec("xllamacpp") is not None


def find_gguf(folder: Path) -> Path | None:
    """The GGUF file of a model folder, if it holds just one."""
    found = sorted(folder.glob("*.gguf"))
    return found[0] if len(found) == 1 else None


def load_gguf_parts(folder: Path, file: Path | None = None, sha256: str = "") -> GgufParts:
    """Read tokenizer and config of a folder; the weights are left alone.

    Args:
        folder: Holds ``config.json`` and a tokenizer.
        file: The GGUF file; by default the one in the folder.
        sha256: Checksum of the GGUF file; by default the manifest's, and without one the file is hashed.

    Raises:
        MissingExtra: If xllamacpp or transformers is not installed.
        ModelError: If something is missing or unreadable.
    """
    if not has_llamacpp():
        raise MissingExtra("The llama.cpp runtime", "llamacpp")
    file = file or find_gguf(folder)
    if file is None:
        msg = f"The folder {folder} holds no GGUF file, or more than one."
        raise ModelError(msg, "Pull the model again, or use --runtime transformers.")
    tokenizer = _tokenizer(folder)
    settings = _settings(folder)
    window = int(settings.get("max_position_embeddings") or settings["text_config"]["max_position_embeddings"])
    identity = [
        "llama.cpp",
        sha256 or _digest(folder, file),
        tokenizer_json(tokenizer),
        str(getattr(tokenizer, "chat_template", "")),
        version("xllamacpp"),
    ]
    fingerprint = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    return GgufParts(file, tokenizer, window, _ends(settings, tokenizer), fingerprint)


def _tokenizer(folder: Path) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingExtra("Local models", "local") from error
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"The tokenizer in {folder} cannot be loaded: {text}", "Pull the model again.") from error


def _settings(folder: Path) -> dict[str, Any]:
    """The config, overruled by the generation config where there is one."""
    try:
        settings: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        generation = folder / "generation_config.json"
        if generation.is_file():
            settings |= json.loads(generation.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"The config in {folder} cannot be read: {error}", "Pull the model again.") from error
    return settings


def _ends(settings: dict[str, Any], tokenizer: Any) -> frozenset[int]:
    configured = settings.get("eos_token_id")
    several = configured if isinstance(configured, list) else [configured]
    return frozenset(int(token) for token in (*several, tokenizer.eos_token_id) if token is not None)


def _digest(folder: Path, file: Path) -> str:
    manifest = read_manifest(folder)
    if manifest is None:
        return hash_file(file)
    record = manifest.files.get(file.name)
    return record.sha256 if record is not None else manifest.source
