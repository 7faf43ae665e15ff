"""Clients of a server: some read all the time, some ask and wait for their answers."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from rereader.testing.soak.server import Running

_TIMEOUT = 60.0
_POLL_SECONDS = 0.25
_ENDED = ("done", "failed", "stopped")


@dataclass
class Visits:
    """What the clients saw.

    Args:
        seconds: How long each request of a kind took, in seconds.
        errors: What was answered otherwise than with success, or not at all.
        answered: Questions that were answered.
        memory: The server's memory in bytes, with the second at which it was looked at.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)
    answered: int = 0
    memory: list[tuple[float, int]] = field(default_factory=list)

    def latency(self) -> dict[str, dict[str, float]]:
        """Requests of each kind and of all, and percentiles of their milliseconds."""
        every = {**self.seconds, "all": [one for found in self.seconds.values() for one in found]}
        return {kind: percentiles(found) for kind, found in every.items() if found}

    def growth(self, since: float) -> float:
        """By which share the server's memory grew from a second to the end (negative: it shrank)."""
        after = [held for second, held in self.memory if second >= since]
        return after[-1] / after[0] - 1.0 if after else 0.0


def percentiles(seconds: list[float]) -> dict[str, float]:
    """How many, and the milliseconds that half, 95 and 99 of 100 and all of them stay below."""
    ranked = sorted(seconds)
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    at = {name: ranked[min(len(ranked) - 1, int(share * len(ranked)))] for name, share in shares.items()}
    return {"count": float(len(ranked)), **{name: round(value * 1000, 1) for name, value in at.items()}}


@dataclass(frozen=True)
class Crowd:
    """Who visits a server, and how.

    Args:
        readers: Clients that read.
        askers: Clients that ask.
        reading_pause: Seconds between two requests of a reader, on average.
        asking_pause: Seconds between an answer and the next question of an asker.
        graph: What is asked through.
        question: What is asked.
        documents: Ids of the documents that are asked about; all that there are by default.
        seed: Decides what is read.
    """

    readers: int
    askers: int
    question: str
    documents: tuple[str, ...] = ()
    reading_pause: float = 0.5
    asking_pause: float = 10.0
    graph: str = "retrieval"
    seed: int = 0

    def visit(self, server: Running, seconds: float) -> Visits:
        """Let them in for so many seconds."""
        return asyncio.run(_visit(self, server, seconds))


async def _visit(crowd: Crowd, server: Running, seconds: float) -> Visits:
    visits = Visits()
    began = time.monotonic()
    headers = {"Authorization": f"Bearer {server.token}"}
    limits = httpx.Limits(max_connections=crowd.readers + crowd.askers)
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=_TIMEOUT, limits=limits) as client:
        visitors = [_Visitor(crowd, number, client, visits) for number in range(crowd.readers + crowd.askers)]
        turns: list[Callable[[], Awaitable[None]]] = [one.read for one in visitors[: crowd.readers]]
        turns += [one.ask for one in visitors[crowd.readers :]]
        until = began + seconds
        await asyncio.gather(_watch(server, visits, began, until), *(_repeat(turn, until) for turn in turns))
    return visits


async def _repeat(turn: Callable[[], Awaitable[None]], until: float) -> None:
    while time.monotonic() < until:
        await turn()


async def _watch(server: Running, visits: Visits, began: float, until: float) -> None:
    while True:
        visits.memory.append((time.monotonic() - began, server.memory()))
        if time.monotonic() >= until:
            return
        await asyncio.sleep(min(2.0, max(0.0, until - time.monotonic())))


class _Visitor:
    """One client: it goes from the lists to a run, its steps, its document."""

    def __init__(self, crowd: Crowd, number: int, client: httpx.AsyncClient, visits: Visits) -> None:
        self._crowd, self._client, self._visits = crowd, client, visits
        self._rng = random.Random(f"{crowd.seed} {number}")

    async def read(self) -> None:
        """Read one thing, and pause."""
        await asyncio.sleep(self._rng.uniform(0, 2 * self._crowd.reading_pause))
        kind = self._rng.choice(("about", "documents", "runs", "run", "text", "search"))
        if kind == "run":
            await self._read_run()
        elif kind in ("text", "search"):
            await self._read_document(kind)
        else:
            await self._get(kind, f"/api/{kind}")

    async def _read_run(self) -> None:
        runs = await self._get("runs", "/api/runs")
        if runs:
            run = self._rng.choice(runs[:20])["id"]
            await self._get("run", f"/api/runs/{run}")
            await self._get("outline", f"/api/runs/{run}/outline")

    async def _read_document(self, kind: str) -> None:
        documents = await self._get("documents", "/api/documents")
        if documents:
            document = self._rng.choice(documents)["id"]
            query = {"start": 0, "end": 2000} if kind == "text" else {"q": "strongbox"}
            await self._get(kind, f"/api/documents/{document}/{kind}", query)

    async def ask(self) -> None:
        """Ask, and wait for the answer."""
        crowd = self._crowd
        wanted = {"question": crowd.question, "graph": crowd.graph, "document_ids": list(crowd.documents)}
        asked = await self._send("ask", "POST", "/api/runs", wanted)
        if asked and await self._ended(asked["job"]) == "done":
            self._visits.answered += 1
        await asyncio.sleep(self._crowd.asking_pause)

    async def _ended(self, name: str) -> str:
        """How a job ended."""
        while job := await self._get("job", f"/api/jobs/{name}"):
            if job["state"] == "failed":
                self._visits.errors.append(f"ask: {job['error']}")
            if job["state"] in _ENDED:
                return str(job["state"])
            await asyncio.sleep(_POLL_SECONDS)
        return ""

    async def _get(self, kind: str, path: str, query: dict[str, Any] | None = None) -> Any:
        return await self._send(kind, "GET", path, query=query)

    async def _send(
        self, kind: str, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None
    ) -> Any:
        began = time.monotonic()
        try:
            reply = await self._client.request(method, path, json=body, params=query)
        except httpx.HTTPError as error:
            self._visits.errors.append(f"{kind}: {type(error).__name__} {error}")
            return None
        self._visits.seconds[kind].append(time.monotonic() - began)
        if not reply.is_success:
            self._visits.errors.append(f"{kind}: {reply.status_code} {reply.text[:200]}")
            return None
        return reply.json()
