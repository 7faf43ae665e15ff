"""Endpoints that the user named: do they answer?"""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

from rereader.models.providers import check_endpoint
from rereader.runs.doctor.scope import Scope
from rereader.schema import RereaderError
from rereader.schema.endpoint import EndpointSettings
from rereader.schema.findings import Finding

_SECONDS = 2.0
_PORTS = {"http": 80, "https": 443}


def endpoints(scope: Scope) -> list[Finding]:
    """Every server of the configuration takes connections; nothing is sent, and no other server is tried."""
    if not scope.config.endpoints:
        return [Finding("no endpoint is configured; nothing leaves this machine")]
    return [_examine(name, settings) for name, settings in scope.config.endpoints.items()]


def _examine(name: str, settings: EndpointSettings) -> Finding:
    try:
        check_endpoint(settings, name)
    except RereaderError as error:
        return Finding(f"endpoint {name}: {error.message}", "problem", error.hint)
    if settings.base_url is None:
        return Finding(f"endpoint {name} is the provider's own service; it was not tried", "note")
    return _connect(name, settings.base_url)


def _connect(name: str, address: str) -> Finding:
    parts = urlsplit(address)
    place = (parts.hostname or "", parts.port or _PORTS[parts.scheme])
    started = time.monotonic()
    try:
        socket.create_connection(place, timeout=_SECONDS).close()
    except (OSError, ValueError) as error:  # a name that is none is a ValueError
        mend = f"Start the server, or mend base_url under [endpoints.{name}]; see 'rereader config path'."
        return Finding(f"endpoint {name}: no server at {address} ({error})", "warning", mend)
    return Finding(f"endpoint {name}: {address} takes connections ({time.monotonic() - started:.2f} s)")
