"""``rereader mcp``."""

from __future__ import annotations

import signal

from rereader.cli import options
from rereader.cli.console import notes
from rereader.schema import MissingExtra


def mcp(
    graph: options.Graph = None,
    model: options.Model = None,
    base_url: options.BaseUrl = None,
    api_key_env: options.ApiKeyEnv = None,
    runtime: options.Runtime = None,
    role: options.Role = None,
    settings: options.Set = None,
    gist: options.Gist = None,
    memory: options.Memory = None,
    max_tokens: options.MaxTokens = None,
    max_calls: options.MaxCalls = None,
    max_seconds: options.MaxSeconds = None,
    workspace: options.Workspace = None,
) -> None:
    """Offer the workspace to other agents as tools: the Model Context Protocol over standard input and output.

    The tools are ask, search, read_span, show_run and list_documents. A client starts this command itself; it ends when
    its standard input ends. Documents are added with 'rereader add', no tool reads files. --graph and --set hold where
    a request names no graph of its own, --max-tokens and the like are what no request may pass.

    For example:

    rereader mcp

    rereader mcp --workspace letters --model small --max-seconds 300
    """
    from rereader.graphs.registry import get_graph
    from rereader.memory.library import Library
    from rereader.runs.session import open_session

    try:
        from rereader.server.mcp import serve
        from rereader.server.mcp_tools import Desk
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(("mcp", "anyio")):
            raise
        raise MissingExtra("Serving tools to agents", "mcp") from error
    budget = options.make_budget(max_tokens, max_calls, max_seconds)
    config = options.configuration(workspace)
    chosen, values = graph or config.graph, options.graph_settings(settings, gist, memory)
    options.check_memory(memory, chosen)
    get_graph(chosen).settings(values)
    names, warnings = options.role_names(config, model, role, base_url, api_key_env)
    with (
        open_session(
            config.workspace, names=names, models_dir=config.models_dir, runtime=runtime, warnings=warnings
        ) as session,
        Library(config.workspace) as library,
    ):
        # The thread that waits for input cannot be woken; a run that is killed can be resumed all the same.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        notes().print("Serving tools to one client on standard input and output; Ctrl-C ends it.", markup=False)
        serve(Desk(session, chosen, values, budget, (config.graphs_dir,), config.private_folders, library))
