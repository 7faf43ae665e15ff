"""The model that a compressor is trained for: loaded in float32, its weights kept as they are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rereader.models.extras import require
from rereader.models.installed import locate, own_gguf
from rereader.models.manifest import read_manifest
from rereader.models.rendering import Renderer
from rereader.prompts.loader import Piece
from rereader.prompts.openings import compressing

if TYPE_CHECKING:
    import torch

    from rereader.models.memory_tokens import MemoryTokens, Start


@dataclass(frozen=True)
class Base:
    """A model, what turns text into its tokens, and what its compressed texts stand after.

    Args:
        model: A causal language model of transformers whose weights want no gradients.
        renderer: Turns text into tokens.
        tokenizer: Turns tokens into text.
        name: The model's name.
        opening: Tokens that stand before every compressed text.
        end: The token that ends a text.
    """

    model: Any
    renderer: Renderer
    tokenizer: Any
    name: str
    opening: tuple[int, ...]
    end: int

    @classmethod
    def of(cls, model: Any, tokenizer: Any, name: str) -> Base:
        """From a model and its tokenizer."""
        renderer = Renderer(tokenizer)
        rendered = renderer.render(compressing(Piece("text")))
        opening = rendered.ids[: rendered.ranges[-1][0]]
        end = tokenizer.eos_token_id
        return cls(model.requires_grad_(False).eval(), renderer, tokenizer, name, opening, 0 if end is None else end)

    def new_tokens(self, rank: int, start: Start, seed: int) -> MemoryTokens:
        """An untrained compressor on the model's device; low-rank projections begin at random, as the seed decides."""
        import torch

        from rereader.models.memory_tokens import MemoryTokens

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return MemoryTokens(self.model, rank, start, self.end).to(self.model.device)

    def tensor(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Rows of tokens of one length on the model's device."""
        import torch

        return torch.tensor([list(row) for row in rows], device=self.model.device)


def require_training() -> None:
    """Make sure that what training needs is installed.

    Raises:
        MissingExtra: If it is not.
    """
    require(("torch", "transformers", "safetensors"), "Training", "train")


def load_base(name: str, models_dir: Path, device: str = "auto", threads: int | None = None) -> Base:
    """Load a model by its name or path.

    Raises:
        InputError: If it is unknown or was not pulled.
        ModelError: If it cannot be loaded.
    """
    require_training()
    from rereader.models.loading import load_parts

    own = own_gguf(name)
    folder = locate(name, models_dir)
    manifest = read_manifest(folder)
    cache = models_dir / ".settings.json" if os.access(models_dir, os.W_OK) else None
    parts = load_parts(folder, device, "float32", threads, cache, manifest.digest if manifest else "")
    shown = own.name if own else manifest.name if manifest else folder.resolve().name
    return Base.of(parts.model, parts.tokenizer, shown)
