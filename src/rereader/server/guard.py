"""The guard in front of everything: who may ask, from where, and what every answer carries.

The server listens on this machine, but so does every page in the user's browser: it may send requests to any address,
and a name that it controls may come to mean this machine. So each request needs the token of this start, a Host header
that is ours, and, if it changes anything, an origin that is ours.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rereader.server.errors import Refused, refusal
from rereader.server.faults import log_fault

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LOG = logging.getLogger(__name__)
_READING = ("GET", "HEAD")
_NO_PAGES = ("/api/", "/static/", "/openapi.json")
_CLOSED = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Rereader</title></head>
<body><h1>This page is locked</h1>
<p>Open the address that <code>rereader serve</code> printed. It holds the key, which is new at every start.</p>
</body></html>
"""


@dataclass(frozen=True)
class Rules:
    """Who may ask.

    Args:
        token: The key of this start.
        port: The port that is listened on.
        hosts: Names and addresses that a Host header may have; ``None`` lets any pass, for a server that others reach.
    """

    token: str
    port: int
    hosts: frozenset[str] | None

    @property
    def cookie(self) -> str:
        """The cookie's name: cookies are shared by all ports of a machine."""
        return f"rereader_{self.port}"

    def knows_host(self, host: str) -> bool:
        """Whether a Host header is ours."""
        if self.hosts is None:
            return bool(host)
        name, colon, port = host.rpartition(":")
        if not colon or host.endswith("]"):
            name, port = host, "80"
        return name.lower() in self.hosts and port == str(self.port)

    def knows_token(self, given: str | None) -> bool:
        """Whether a token is ours; takes as long for any."""
        return given is not None and secrets.compare_digest(given.encode(), self.token.encode())


class Guard:
    """Lets requests pass that may, and turns the others away.

    Args:
        app: What it stands in front of.
        rules: Who may pass.
    """

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self.app = app
        self.rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._turned_away(scope)
        try:
            await (answer or self.app)(scope, receive, guarded)
        except Exception as error:  # it was answered as far as it can be; the server would log its text
            log_fault(_LOG, f"a request ({scope['method']})", error)

    def _turned_away(self, scope: Scope) -> Response | None:
        """The answer to a request that may not pass."""
        headers = Headers(scope=scope)
        try:
            is_page = not scope["path"].startswith(_NO_PAGES) and scope["method"] in _READING
            self._check_sender(headers, is_page=is_page)
            return self._check_key(scope, headers, is_page=is_page)
        except Refused as error:
            return refusal(error)

    def _check_sender(self, headers: Headers, *, is_page: bool) -> None:
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not self.rules.knows_host(host):
            raise Refused(403, "This address is not the server's.", "Open the address that it printed.")
        origin = headers.get("origin")
        ours = (None, f"http://{host.lower()}", f"https://{host.lower()}")
        from_page = headers.get("sec-fetch-site", "none") in ("same-origin", "none")
        # A link elsewhere may lead to a page, which then asks for its key; nothing else is for other sites.
        if not is_page and not (from_page and (origin and origin.lower()) in ours):
            raise Refused(403, "Another site sent this request.", "Open the address that the server printed.")

    def _check_key(self, scope: Scope, headers: Headers, *, is_page: bool) -> Response | None:
        if is_page:
            query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            given = next((value for name, value in query if name == "token"), None)
            if self.rules.knows_token(given):
                return self._let_in(scope["path"], [pair for pair in query if pair[0] != "token"])
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.rules.knows_token(bearer.strip()):
            return None
        if not self.rules.knows_token(_cookie(headers, self.rules.cookie)):
            if is_page:
                return Response(_CLOSED, status_code=401, media_type="text/html")
            raise Refused(401, "The key is missing or wrong.", "Open the address that the server printed.")
        if scope["method"] not in _READING and headers.get("x-rereader") != "1":
            raise Refused(403, "The header X-Rereader is missing.", "Send it with the value 1.")
        return None

    def _let_in(self, path: str, query: list[tuple[str, str]]) -> Response:
        """Keep the key in a cookie, and out of the address."""
        address = "/" + path.lstrip("/") + (f"?{urlencode(query)}" if query else "")
        answer = RedirectResponse(address, status_code=303)
        answer.set_cookie(self.rules.cookie, self.rules.token, httponly=True, samesite="strict", path="/")
        return answer


def _cookie(headers: Headers, name: str) -> str | None:
    """A cookie; those of other servers on this machine come along, and not all are as a standard wants them."""
    return cookie_parser(headers.get("cookie", "")).get(name)
