"""A server of a workspace with scripted models, asked without a socket."""

from contextlib import contextmanager

from starlette.testclient import TestClient

from rereader.server.app import make_app
from rereader.server.guard import Rules
from rereader.testing.sessions import scripted_session

TOKEN = "a-key-for-tests-only"
PORT = 8765
RULES = Rules(TOKEN, PORT, frozenset({"localhost", "127.0.0.1", "[::1]"}))
ADDRESS = f"http://127.0.0.1:{PORT}"
BOOK = "Keziah keeps the bees of Ostrow. The mill was sold in 1923. " * 40
QUESTION = "Who keeps the bees?"


def client_of(app, token=TOKEN, base_url=ADDRESS):
    """A client of an application; with the token unless it is ``None``."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return TestClient(app, base_url, headers=headers, raise_server_exceptions=False, follow_redirects=False)


def app_of(backend, rules=RULES):
    """The application of a server; its work begins when a client of it is entered."""
    return make_app(backend, rules)


@contextmanager
def filled(workspace, text=BOOK, **asked):
    """A session on a workspace with a document, and a run on it unless there is no question."""
    session = scripted_session(workspace)
    try:
        document = session.add_text(text, title="book.txt", source="/somewhere/else/book.txt")
        yield session, document, session.ask(QUESTION, [document.id], **asked)
    finally:
        session.close()
