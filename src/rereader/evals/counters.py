"""The tokenizer that a benchmark's lengths are counted in: an option of its suite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rereader.config import load_config
from rereader.models.installed import locate
from rereader.models.providers import find_endpoint
from rereader.models.roles import EXTRACTIVE, default_names
from rereader.models.tokens import TokenCounter, estimate_counter, folder_counter, tiktoken_counter
from rereader.schema.errors import InputError

OPTION = "tokenizer"
READER = "reader"
"""The tokenizer of whichever model is tested."""
TIKTOKEN = "tiktoken"
ESTIMATE = "estimate"


def named_counter(name: str) -> TokenCounter:
    """The counter of a model's folder, of cl100k (``tiktoken``), or without a table (``estimate``).

    Raises:
        InputError: If the folder has no tokenizer that can be read without its weights.
    """
    if name == ESTIMATE:
        return estimate_counter()
    counter = tiktoken_counter() if name == TIKTOKEN else folder_counter(Path(name))
    if counter is None:
        hint = f"Write {OPTION} = '{READER}', '{TIKTOKEN}' or '{ESTIMATE}', or the folder of a model."
        raise InputError(f"There is no tokenizer at {name}.", hint)
    return counter


def with_tokenizer(options: Mapping[str, Any], model: str | None, models_dir: Path | None) -> dict[str, Any]:
    """The options with the reader's own tokenizer in place of ``reader``.

    A reader that shows no tokenizer (a server, none at all) is counted by cl100k; a benchmark's facts name what counts.
    """
    if options.get(OPTION) != READER:
        return dict(options)
    return {**options, OPTION: _reader_tokenizer(model, models_dir)}


def _reader_tokenizer(model: str | None, models_dir: Path | None) -> str:
    config = load_config(models_dir=models_dir)
    name = model or default_names(config.models_dir)[0].reader
    if name == EXTRACTIVE or find_endpoint(name, config.endpoints) is not None:
        return TIKTOKEN
    folder = locate(name, config.models_dir, weights=False)
    return str(folder) if folder_counter(folder) is not None else TIKTOKEN
