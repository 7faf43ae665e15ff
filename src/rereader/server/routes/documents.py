"""Documents: listed, read in parts, searched, added and removed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import PurePath
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from rereader.runs.searching import Hit, search_document
from rereader.schema import Document, InputError
from rereader.server.answers import Json
from rereader.server.backend import Served
from rereader.server.told import Accepted, DocumentTold, Removed, TextTold
from rereader.server.work import add_task

router = APIRouter(prefix="/api/documents", tags=["documents"])
MOST_TEXT = 200_000
"""Characters of a document that one request gets."""
_FILE = {"requestBody": {"required": True, "content": {"application/octet-stream": {}}}}
"""A route that takes bytes as they are, for the OpenAPI document."""
_Offset = Annotated[int, Query(ge=0)]


@router.get("", response_model=list[DocumentTold])
def list_documents(backend: Served) -> Response:
    """Every document of the workspace, oldest first, with how many runs have read it."""
    counts = backend.library.runs.counts_by_document()
    return Json([document_fields(one, counts) for one in backend.library.documents.all()])


@router.post("", status_code=202, response_model=Accepted, openapi_extra=_FILE)
async def add_document(request: Request, backend: Served, name: Annotated[str, Query(max_length=255)]) -> Response:
    """Read a file, whose bytes are the request's body, and make the memories that the usual graph searches."""
    title = PurePath(name.replace("\\", "/")).name.strip()
    if title in ("", "..", "."):
        raise InputError("The file has no name.", "Say it as ?name=novel.txt")
    upload = await backend.uploads.received(request)
    try:
        job = backend.desk.submit(add_task(backend, title, upload))
    except BaseException:
        upload.close()
        raise
    return Json({"job": job}, status_code=202)


@router.get("/{document}", response_model=DocumentTold)
def get_document(document: str, backend: Served) -> Response:
    """One document."""
    counts = backend.library.runs.counts_by_document()
    return Json(document_fields(backend.library.documents.get(document), counts))


@router.delete("/{document}", response_model=Removed)
def remove_document(document: str, backend: Served) -> Response:
    """Delete a document with all its memories, runs and cached replies."""
    return Json(asdict(backend.remove(document)))


@router.get("/{document}/text", response_model=TextTold)
def read_text(document: str, backend: Served, start: _Offset = 0, end: _Offset | None = None) -> Response:
    """Characters of a document from ``start`` up to ``end``; at most 200,000, and never past its end."""
    found = backend.library.documents.get(document)
    first = min(start, found.length)
    last = min(found.length, first + MOST_TEXT, found.length if end is None else max(first, end))
    text = backend.library.documents.slice(found.id, first, last)
    return Json({"start": first, "end": last, "length": found.length, "text": text})


@router.get("/{document}/search", response_model=list[Hit])
def search(
    document: str,
    backend: Served,
    q: Annotated[str, Query(max_length=1_000)],
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> Response:
    """Places of a document that say ``q``, first those that say it letter for letter."""
    return Json(search_document(backend.library, backend.library.documents.get(document), q, limit))


def document_fields(document: Document, counts: dict[str, int]) -> dict[str, Any]:
    """A document as JSON; of its source the file's name only."""
    return {**document.model_dump(), "source": PurePath(document.source).name, "runs": counts.get(document.id, 0)}
