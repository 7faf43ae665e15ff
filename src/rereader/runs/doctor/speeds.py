"""How fast models run here, and which precision, batch and runtime were chosen by measurement."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rereader.agents.chunker import cut_passages
from rereader.models.base import Embedder, LanguageModel
from rereader.models.gguf_parts import find_gguf, has_llamacpp
from rereader.models.hashing import HashingEmbedder
from rereader.models.installed import locate
from rereader.models.measure import entries, store_entry
from rereader.models.providers import find_endpoint
from rereader.models.quantised import is_quantised
from rereader.models.roles import HASHING, RoleNames, bind
from rereader.models.runtimes import ROLES, choose_runtime, marked, on_cpu, split_mark
from rereader.models.speed import (
    CACHE,
    Speed,
    identity,
    keep_speed,
    measure_embedder,
    measure_reader,
    read_shape,
    speed_key,
    speed_of,
)
from rereader.runs.choosing import choose_names
from rereader.runs.counting import counter_of
from rereader.runs.doctor.scope import Scope
from rereader.runs.facts import PLAIN
from rereader.schema import RereaderError
from rereader.schema.findings import Finding
from rereader.tools.chunker import chunk_document
from rereader.tools.extract import central_sentences, document_frequencies
from rereader.tools.sentences import sentence_spans
from rereader.tools.words import count_words

_LONG_AGO = "Run: rereader doctor --measure"
_PAGES = 60
_TYPICAL_READ = 480
_TYPICAL_WRITTEN = 20
_PAGE = (
    "In the spring of {year} the ferry at {place} stopped for {number} days, because the keeper, {name}, had gone to "
    "see the new bridge. Nobody wrote it down. The letters of that month speak of rain, of {number} barrels that were "
    "left on the quay, and of a quarrel about the price of rope. When she came back, {name} said that the river had "
    "not waited for her either.\n\n"
)
_NAMES = ("Imke Raud", "Tomas Vell", "Ada Quill", "Jorun Best", "Mara Linn")
_PLACES = ("Oddvik", "Lower Hame", "Sarnby", "Keld", "Tolmin")


def sample_text(pages: int = _PAGES) -> str:
    """Ordinary English paragraphs, each a little different from the others."""
    return "".join(
        _PAGE.format(year=1800 + i % 120, place=_PLACES[i % 5], number=2 + i % 37, name=_NAMES[(i // 5) % 5])
        for i in range(pages * 4)
    )


def speeds(scope: Scope) -> list[Finding]:
    """Tokens a second of every role's model; measured now if that is asked for, else what was measured before."""
    try:
        names, _ = choose_names(scope.config)
        variants = _variants(names, scope)
    except RereaderError:
        return []  # said by the roles
    found = _measure(scope, names, variants) if scope.measure else []
    found += [_known(scope, one) for one in variants]
    return found + _runtimes(scope, variants) + _precisions(scope, variants)


@dataclass(frozen=True)
class Variant:
    """A model as one runtime runs it; ``name`` is marked where that is not plain transformers."""

    role: str
    name: str
    folder: Path


def _variants(names: RoleNames, scope: Scope) -> list[Variant]:
    """Every model of a role, once for each runtime that could run it here."""
    found: dict[str, Variant] = {}
    for role, name in vars(names).items():
        plain, asked = split_mark(name)
        folder = _folder(plain, scope)
        if folder is None:
            continue
        wanted = scope.config.runtime if asked == "auto" else asked
        if is_quantised(wanted) and role != "embedder":
            # Plain weights may not fit into memory.
            found.setdefault(marked(plain, wanted), Variant(role, marked(plain, wanted), folder))
            continue
        found.setdefault(plain, Variant(role, plain, folder))
        if role in ROLES and (asked == "llamacpp" or (find_gguf(folder) and has_llamacpp())):
            other = marked(plain, "llamacpp")
            found.setdefault(other, Variant(role, other, folder))
    return list(found.values())


def _folder(name: str, scope: Scope) -> Path | None:
    if find_endpoint(name, scope.config.endpoints) is not None:
        return None
    try:
        return locate(name, scope.config.models_dir, weights=False)
    except RereaderError:
        return None  # extractive, none, hashing; what is broken is said elsewhere


def _speed(scope: Scope, one: Variant) -> Speed:
    on_cuda = split_mark(one.name)[1] != "llamacpp" and not on_cpu(scope.config.device)
    return speed_of(one.name, one.folder, scope.config.models_dir, cuda=on_cuda)


def _known(scope: Scope, one: Variant) -> Finding:
    speed = _speed(scope, one)
    what = f"{one.name}: {describe(speed)}"
    if speed.source == "measured":
        return Finding(what)
    told = "reckoned from a probe of one layer" if speed.source == "probe" else "guessed from its size"
    return Finding(f"{what} ({told})", "note", _LONG_AGO)


def _runtimes(scope: Scope, variants: Sequence[Variant]) -> list[Finding]:
    """Which program runs a reader that two could run, and whether measurement agrees."""
    found = []
    plain = {one.name: one for one in variants}
    for one in variants:
        other = plain.get(split_mark(one.name)[0])
        if other is None or other is one:
            continue
        chosen = choose_runtime(one.role, other.name, find_gguf(one.folder), scope.config.runtime, scope.config.device)
        what = f"{other.name} runs on {chosen} as {one.role} (runtime = {scope.config.runtime})"
        pair = _speed(scope, one), _speed(scope, other)
        if all(speed.source == "measured" for speed in pair):
            found.append(_faster(what, chosen, typical_seconds(pair[0]), typical_seconds(pair[1])))
        else:
            found.append(Finding(what))
    return found


def _faster(what: str, chosen: str, llamacpp: float, transformers: float) -> Finding:
    best = "llamacpp" if llamacpp <= transformers else "transformers"
    told = f"{what}; a usual reply takes {llamacpp:.1f} s with llama.cpp, {transformers:.1f} s with transformers"
    return Finding(told) if best == chosen else Finding(told, "note", f"Set runtime = {best!r} in the configuration.")


def typical_seconds(speed: Speed) -> float:
    """Seconds of a reply from evidence as the answerer asks for it."""
    return speed.read_seconds(_TYPICAL_READ) + speed.write_seconds(_TYPICAL_WRITTEN)


def describe(speed: Speed) -> str:
    """Rates for people."""
    parts = [f"reads {speed.read:,.0f} tokens/s"]
    if speed.write < float("inf"):
        parts.append(f"writes {speed.write:,.1f} tokens/s alone and {speed.write_together:,.1f} in batches")
    return ", ".join([*parts, f"loads in {speed.load:.1f} s"])


def _precisions(scope: Scope, variants: Sequence[Variant]) -> list[Finding]:
    known = entries(scope.config.models_dir / CACHE)
    found = []
    for one in variants:
        key = f"{identity(one.name, one.folder)}/"
        chosen = next((value for name, value in known.items() if name.startswith(key)), None)
        if chosen:
            found.append(Finding(f"{one.name}: {_precision(chosen)}"))
    return found


def _precision(chosen: dict[str, Any]) -> str:
    read = f"reads in {chosen.get('prefill_dtype')}, prompts at a time: {chosen.get('prefill_batch')}"
    return f"{read}; writes in {chosen.get('decode_dtype')}, replies at a time: {chosen.get('decode_batch')}"


def _measure(scope: Scope, names: RoleNames, variants: Sequence[Variant]) -> list[Finding]:
    """Measure every model once, one in memory at a time, and keep what was found."""
    text = sample_text()
    scope.tell("the speed of cutting and extracting")
    tokenizer = next((one.folder for one in variants), None)
    store_entry(scope.config.models_dir / CACHE, speed_key(PLAIN, "cpu"), measure_plain(text, tokenizer))
    keep_speed(scope.config.models_dir, HASHING, "cpu", measure_embedder(HashingEmbedder(), text, 0.0))
    found: list[Finding] = []
    for one in variants:
        scope.tell(f"the speed of {one.name}")
        try:
            _measure_one(scope, names, one, text)
        except RereaderError as error:
            found.append(Finding(f"{one.name} cannot be measured: {error.message}", "problem", error.hint))
    return found


def _measure_one(scope: Scope, names: RoleNames, one: Variant, text: str) -> None:
    config = scope.config
    unmarked = split_mark(one.name)[1] == "auto"
    asked = f"{one.name} (transformers)" if unmarked and one.role in ROLES else one.name
    wanted = replace(names, **{one.role: asked})
    models = bind(wanted, config.models_dir, device=config.device, threads=config.threads, endpoints=config.endpoints)
    try:
        model: LanguageModel | Embedder = getattr(models, one.role)
        load = models.loads[-1][2]
        if isinstance(model, LanguageModel):
            speed, device = measure_reader(model, text, load, read_shape(one.folder)), model.device
        else:
            speed, device = measure_embedder(model, text, load), "cuda" if models.on_cuda else "cpu"
    finally:
        models.close()
    keep_speed(config.models_dir, identity(one.name, one.folder), device, speed)


def measure_plain(text: str, tokenizer: Path | None) -> dict[str, float]:
    """Seconds per character of cutting and per token of extracting gists."""
    counter = counter_of(tokenizer)
    started = time.perf_counter()
    chunks = chunk_document(text, document_id="sample", count_tokens=counter, max_tokens=512)
    list(cut_passages(text, chunks, 20))
    cutting = time.perf_counter() - started
    bodies = [text[chunk.span.start : chunk.span.end] for chunk in chunks]
    started = time.perf_counter()
    frequency, total = document_frequencies(iter(bodies))
    for body in bodies:
        central_sentences(
            body,
            sentence_spans(body),
            budget_words=max(1, count_words(body) // 4),
            method="informative",
            document_frequency=frequency,
            total=total,
        )
    extracting = time.perf_counter() - started
    return {"cut": cutting / len(text), "extract": extracting / sum(chunk.token_count for chunk in chunks)}
