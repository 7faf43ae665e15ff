"""What the server is and what can be asked of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from rereader import __version__
from rereader.graphs.registry import ReadingGraph, all_graphs
from rereader.runs.described import Setting, settings_of
from rereader.server.answers import Json
from rereader.server.asked import EstimateAsked
from rereader.server.backend import Served
from rereader.server.told import AboutTold, EstimateTold
from rereader.server.work import estimated

router = APIRouter(prefix="/api", tags=["about"])


@router.get("/about", response_model=AboutTold)
def about(backend: Served) -> Response:
    """Version, graphs with their settings, and models."""
    config = backend.config
    return Json(
        {
            "version": __version__,
            "workspace": config.workspace.resolve().name,
            "graphs": [_graph(graph) for graph in all_graphs()],
            "models": asdict(backend.names),
            "pulled": backend.pulled(),
            "default_graph": config.graph,
        }
    )


@router.post("/estimate", response_model=EstimateTold)
def estimate(asked: EstimateAsked, backend: Served) -> Response:
    """What a question would cost; no model is loaded, and nothing is stored."""
    return Json(estimated(backend, asked))


def _graph(graph: ReadingGraph) -> dict[str, Any]:
    return {
        "name": graph.name,
        "title": graph.system,
        "summary": graph.summary,
        "honesty": graph.label(graph.settings({})),
        "settings": [_setting(graph, setting) for setting in settings_of(graph)],
    }


def _setting(graph: ReadingGraph, setting: Setting) -> dict[str, Any]:
    return {
        "name": setting.name,
        "default": setting.default,
        "kind": setting.kind,
        "choices": list(setting.choices),
        "values": setting.values,
        "help": setting.meaning,
        "fixed_by": graph.fixed_by(setting.name),
    }
