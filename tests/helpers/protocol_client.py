"""The official client of the Model Context Protocol, at a server in this process."""

import json

import anyio
from mcp.client.client import Client

from rereader.server.mcp import make_server

MODES = ["legacy", "auto"]
"""Over memory streams with a handshake, and straight into the server as newer clients are."""


def talk(desk, conversation, mode="legacy"):
    """What a client of a desk's server comes back with."""

    async def run():
        with anyio.fail_after(60):
            async with Client(make_server(desk), mode=mode) as client:
                return await conversation(client)

    return anyio.run(run)


def call(desk, tool, mode="legacy", **arguments):
    """One call: ``(is it an error, its result)``."""

    async def conversation(client):
        return await client.call_tool(tool, arguments)

    result = talk(desk, conversation, mode)
    said = result.content[0].text
    if result.is_error:
        assert "Traceback" not in said
        return True, said
    assert json.loads(said) == result.structured_content
    return False, result.structured_content
