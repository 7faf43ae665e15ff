"""What compresses a text to keys and values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from rereader.models.batching import plan_batches, restore, run_halving
from rereader.models.decoding import Slots
from rereader.models.engine import Engine
from rereader.models.kvblock import KVBlock, LayerStates, Manifest, block_digest
from rereader.models.kvmemory import Compression
from rereader.models.rendering import Rendered
from rereader.schema.errors import InputError
from rereader.schema.events import Cancelled

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Texts:
    """Texts to compress.

    Args:
        model: Fingerprint of the model.
        openings: Tokens that stand before each text.
        texts: Tokens of each text.
        repeat: Tokens that ask for a text to be repeated.
    """

    model: str
    openings: tuple[Ids, ...]
    texts: tuple[Ids, ...]
    repeat: Ids = ()

    @classmethod
    def of_prompts(cls, prompts: Sequence[Rendered], model: str, repeat: Ids) -> Texts:
        """The last segment of each prompt, and what stands before it.

        Raises:
            InputError: If a text is empty, or a prompt has compressed texts itself.
        """
        for prompt in prompts:
            start, end = prompt.ranges[-1]
            if start == end or prompt.memory:
                raise InputError("There is no text to compress.", "Put the text into the prompt's last segment.")
        spans = [(prompt.ids, *prompt.ranges[-1]) for prompt in prompts]
        openings = tuple(ids[:start] for ids, start, _ in spans)
        return cls(model, openings, tuple(ids[start:end] for ids, start, end in spans), repeat)


class Compressor(ABC):
    """Makes blocks of texts, in batches of texts that follow the same opening.

    What a compressor implements is :meth:`states`; a trained one is loaded from its folder by
    :meth:`rereader.models.learned.LearnedCompressor.load`.
    """

    identity: str
    """Identifies it, with its weights if it has any; part of a block's digest."""
    alike = False
    """Whether all texts of a batch must have as many tokens."""

    @abstractmethod
    def states(
        self, engine: Engine, opening: Ids, texts: Sequence[Ids], repeat: Ids, how: Compression, cancelled: Cancelled
    ) -> list[list[LayerStates]]:
        """What is kept of each text: its layers.

        Called on the thread that owns the model. Keys are unrotated (``engine.recaller.rotation.unrotate``), offsets
        ascend within a head, and each head of each layer keeps at least one.

        Args:
            engine: Reads the texts; see :meth:`~rereader.models.engine.Engine.read_texts`.
            opening: Tokens that stand before each text.
            texts: Tokens of each text, at least one.
            repeat: Tokens that ask for a text to be repeated.
            how: How much to keep.
            cancelled: Whether to stop.
        """

    def kept(self, tokens: int, ratio: float) -> int:
        """Tokens that a head keeps of a text, on average."""
        return max(1, int(tokens / ratio))

    def tokens_read(self, opening: int, text: int, repeat: int) -> int:
        """Tokens that go through the model for a text, one after the other in its window, given those of each part."""
        return opening + text

    def fit(self, texts: Texts, window: int, name: str) -> list[int]:
        """What :meth:`sizes` says, which must fit the window of a model of some name.

        Raises:
            InputError: If it does not.
        """
        sizes = self.sizes(texts)
        if max(sizes, default=0) > window:
            msg = f"{max(sizes):,} tokens, most of them read twice, do not fit into the {window:,} that {name} reads."
            raise InputError(msg, "Use smaller chunks, or another compressor than reconstruction.")
        return sizes

    def sizes(self, texts: Texts) -> list[int]:
        """Tokens that go through the model for each text."""
        pairs = zip(texts.openings, texts.texts, strict=True)
        return [self.tokens_read(len(opening), len(text), len(texts.repeat)) for opening, text in pairs]

    def check(self, how: Compression) -> None:  # noqa: B027 - most can do whatever they are told
        """Refuse what it cannot do.

        Raises:
            InputError: If it cannot compress a text in this way.
        """

    def compress(
        self, engine: Engine, texts: Texts, how: Compression, slots: Slots, cancelled: Cancelled
    ) -> list[KVBlock]:
        """A block for each text, in their order.

        Args:
            engine: Reads the texts.
            texts: The texts.
            how: How to compress them.
            slots: Most texts, and most tokens, that are read at once.
            cancelled: Whether to stop.

        Raises:
            Interrupted: If ``cancelled`` says so.
            ModelError: If the model's keys cannot be moved, or memory runs out.
        """
        how = how.normalised()

        def run(part: Sequence[int]) -> list[KVBlock]:
            opening, chosen = texts.openings[part[0]], [texts.texts[index] for index in part]
            found = self.states(engine, opening, chosen, texts.repeat, how, cancelled)
            return [
                KVBlock.pack(self._manifest(texts.model, opening, text, how), layers)
                for text, layers in zip(chosen, found, strict=True)
            ]

        batches = self._batches(texts, slots)
        return restore(batches, [run_halving(batch, run) for batch in batches])

    def _batches(self, texts: Texts, slots: Slots) -> list[list[int]]:
        groups: dict[tuple[Ids, int], list[int]] = {}
        for index, (opening, text) in enumerate(zip(texts.openings, texts.texts, strict=True)):
            groups.setdefault((opening, len(text) if self.alike else 0), []).append(index)
        batches, sizes = [], self.sizes(texts)
        for members in groups.values():
            for batch in plan_batches([sizes[index] for index in members], slots.prefill, slots.tokens):
                batches.append([members[place] for place in batch])
        return batches

    def _manifest(self, model: str, opening: Ids, text: Ids, how: Compression) -> Manifest:
        digest = block_digest(model, opening, text, self.identity, how)
        return Manifest(model, digest, len(text), self.identity, how.ratio, how.budgets)
