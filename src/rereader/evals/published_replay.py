"""ReContext as its public code runs it, for comparing costs (arXiv 2607.02509; Yanjun-Zhao/ReContext).

Written anew after the description in the literature, with what it spends: the text's keys and values are copied to the
host once and back in every round; eight cue tokens go through the model one by one with the attention of all layers,
which takes the eager kernel; template tokens are looked for position by position; and every round decodes the whole
prompt and splits it into sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import DynamicCache

from rereader.evals.clock import Clock
from rereader.models.base import Head
from rereader.tools.sentences import sentence_spans

CUES = 8
DECAY = 0.75
_TOP = 8
_PATTERNS = 4
Ids = tuple[int, ...]
Pairs = list[tuple[torch.Tensor, torch.Tensor]]


class PublishedReplay:
    """The published procedure on a model.

    Args:
        model: A causal language model of transformers.
        heads: The heads that look.
        decode: Turns token ids into text.
        patterns: Token ids of the template's marks.
        block_tokens: Most tokens in one forward pass while the text is read.
    """

    def __init__(
        self,
        model: Any,
        heads: Sequence[Head],
        decode: Callable[[Sequence[int]], str],
        patterns: Sequence[Ids],
        block_tokens: int = 1024,
    ) -> None:
        self._model = model
        self._heads = heads
        self._decode = decode
        self._patterns = [torch.tensor(pattern, device=model.device) for pattern in patterns[:_PATTERNS]]
        self._block = block_tokens

    def run(self, text: Ids, evidence: Sequence[Ids], question: Ids, reply: int) -> dict[str, float]:
        """Seconds by part of a whole answer; evidence is given, so that both sides replay as much."""
        clock, cache = Clock(self._model.device.type), DynamicCache()
        with torch.inference_mode():
            with clock.timing("read"):
                self._read(cache, text)
            with clock.timing("copy"):
                host = self._to_host(cache)
            so_far: Ids = ()
            for block in evidence:
                self._round(clock, host, (text, so_far, question))
                so_far += block
            with clock.timing("copy"):
                cache = self._from_host(host)
            with clock.timing("replay"):
                logits = self._read(cache, (*so_far, *question))
            with clock.timing("reply"):
                self._reply(cache, logits, reply)
        return clock.parts

    def _round(self, clock: Clock, host: Pairs, prompt: tuple[Ids, Ids, Ids]) -> set[int]:
        _, so_far, question = prompt
        whole = tuple(token for part in prompt for token in part)
        with clock.timing("copy"):
            cache = self._from_host(host)
        with clock.timing("look"):
            self._read(cache, (*so_far, *question[:-CUES]))
        with clock.timing("look eagerly"):
            scores = self._look(cache, question[-CUES:])
        with clock.timing("mask the template"):
            self._mask(scores, whole)
        with clock.timing("decode and split"):
            return self._sentences(scores, whole)

    def _read(self, cache: Any, ids: Sequence[int]) -> torch.Tensor:
        for start in range(0, len(ids), self._block):
            block = torch.tensor([ids[start : start + self._block]], device=self._model.device)
            output = self._model(input_ids=block, past_key_values=cache, use_cache=True, logits_to_keep=1)
        logits: torch.Tensor = output.logits
        return logits

    def _look(self, cache: Any, cues: Ids) -> torch.Tensor:
        config = self._model.config.get_text_config()
        before, config._attn_implementation = config._attn_implementation, "eager"
        score = torch.zeros(0, device=self._model.device)
        try:
            for cue in cues:
                ids = torch.tensor([[cue]], device=self._model.device)
                output = self._model(input_ids=ids, past_key_values=cache, use_cache=True, output_attentions=True)
                rows = [output.attentions[head.layer][0, head.head, -1] for head in self._heads]
                row = torch.stack(rows).float().mean(0)
                score = row + DECAY * torch.nn.functional.pad(score, (0, len(row) - len(score)))
                score = score / score.sum()
        finally:
            config._attn_implementation = before
        return score

    def _mask(self, scores: torch.Tensor, ids: Ids) -> None:
        tokens = torch.tensor(ids, device=self._model.device)
        for place in range(len(ids)):
            for pattern in self._patterns:
                if torch.equal(tokens[place : place + len(pattern)], pattern):
                    scores[place : place + len(pattern)] = 0.0

    def _sentences(self, scores: torch.Tensor, ids: Ids) -> set[int]:
        texts = [self._decode([token]) for token in ids]
        spans = sentence_spans("".join(texts))
        found = set()
        for token in scores.topk(min(_TOP, len(scores))).indices.tolist():
            place = sum(map(len, texts[:token]))
            found.add(next((i for i, (_, end) in enumerate(spans) if place < end), 0))
        return found

    def _to_host(self, cache: Any) -> Pairs:
        return [(layer.keys.to("cpu", copy=True), layer.values.to("cpu", copy=True)) for layer in cache.layers]

    def _from_host(self, host: Pairs) -> Any:
        cache, device = DynamicCache(), self._model.device
        for layer, (keys, values) in enumerate(host):
            cache.update(keys.to(device, copy=True), values.to(device, copy=True), layer)
        return cache

    def _reply(self, cache: Any, logits: torch.Tensor, count: int) -> None:
        for _ in range(count - 1):
            logits = self._read(cache, [int(logits[0, -1].argmax())])
