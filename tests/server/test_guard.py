"""Who is let in, who is not, and what every answer carries."""

import pytest
from served import ADDRESS, PORT, RULES, TOKEN, app_of, client_of

from rereader.server.guard import Rules
from rereader.testing.serving import scripted_backend

PAGES = ["/", "/documents", "/documents/ab12", "/runs", "/runs/ab12", "/runs/ab12/3", "/compare/a/b", "/ask", "/api"]
CLOSED = ["/api/about", "/api/runs", "/api/nothing", "/static/main.js", "/openapi.json"]


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    return scripted_backend(tmp_path_factory.mktemp("guarded") / "workspace")


@pytest.fixture(scope="module")
def app(backend):
    """The application at work, for all tests of this file."""
    found = app_of(backend)
    with client_of(found):
        yield found


@pytest.fixture
def client(app):
    """A client that has the key."""
    return client_of(app)


@pytest.fixture
def stranger(app):
    """A client without the key."""
    return client_of(app, token=None)


@pytest.fixture
def visitor(stranger):
    """A browser that came by the printed address."""
    stranger.get(f"/?token={TOKEN}")
    return stranger


@pytest.mark.parametrize("path", CLOSED)
def test_nothing_is_told_without_the_key(stranger, path):
    answer = stranger.get(path)
    assert answer.status_code == 401
    assert set(answer.json()) == {"error", "hint"}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_without_the_key_says_where_to_find_it(stranger, path):
    answer = stranger.get(path)
    assert answer.status_code == 401
    assert "rereader serve" in answer.text
    assert "<script" not in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_a_page_with_the_key_is_served(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_the_printed_address_lets_in_and_takes_the_key_out_of_the_address(stranger):
    answer = stranger.get(f"/runs/ab12/3?quote=2&token={TOKEN}&q=a%20b")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/runs/ab12/3?quote=2&q=a+b"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"rereader_{PORT}={TOKEN};")
    assert {part.strip().lower() for part in cookie.split(";")[1:]} == {"httponly", "samesite=strict", "path=/"}
    assert stranger.get("/api/about").status_code == 200


@pytest.mark.parametrize("path", ["//elsewhere.test/x", "///elsewhere.test", "/%5Celsewhere.test"])
def test_the_way_in_leads_nowhere_else(stranger, path):
    location = stranger.get(f"{ADDRESS}{path}?token={TOKEN}").headers["location"]
    assert location[0] == "/" and location[1] not in "/\\"


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "ä", "%F0%9F%90%9D", "%ED%A0%80"])
def test_a_wrong_key_lets_nobody_in(stranger, token):
    assert stranger.get(f"/?token={token}").status_code == 401
    assert stranger.get("/api/about", headers={"Authorization": f"Bearer {token}".encode()}).status_code == 401
    assert stranger.get("/api/about", headers={"Cookie": f"rereader_{PORT}={token}".encode()}).status_code == 401


@pytest.mark.parametrize("header", ["Basic YTpi", f"Basic {TOKEN}", TOKEN, "Bearer", "Bearer  "])
def test_only_a_bearer_has_the_key(stranger, header):
    assert stranger.get("/api/about", headers={"Authorization": header}).status_code == 401


def test_the_key_in_the_address_of_the_api_counts_for_nothing(stranger):
    assert stranger.get(f"/api/about?token={TOKEN}").status_code == 401


def test_a_cookie_of_another_port_is_not_ours(stranger):
    assert stranger.get("/api/about", headers={"Cookie": f"rereader_1={TOKEN}"}).status_code == 401
    assert stranger.get("/api/about", headers={"Cookie": "a=b; ]bad; rereader_8765"}).status_code == 401


@pytest.mark.parametrize(
    "other",
    ["a[0]=1", 'x={"a":1}', '_xsrf="a', "foo=a b", "plain", "p=a,b", "user@x=1", "bad(name)=1", "n\u00e4=1", "=", ""],
)
def test_cookies_of_other_servers_lock_nobody_out(stranger, other):
    for cookie in (f"{other}; rereader_{PORT}={TOKEN}", f"rereader_{PORT}={TOKEN}; {other}"):
        assert stranger.get("/api/about", headers={"Cookie": cookie.encode()}).status_code == 200
    assert stranger.get("/api/about", headers={"Cookie": other.encode()}).status_code == 401


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:8765"])
def test_our_own_names_are_known(client, host):
    assert client.get("/api/about", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["", "elsewhere.test", "elsewhere.test:8765", "127.0.0.1", "127.0.0.1:80", "localhost:8766", "127.0.0.1.test:8765"],
)
@pytest.mark.parametrize("path", ["/", "/api/about", "/static/main.js"])
def test_another_name_is_refused_even_with_the_key(client, host, path):
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 403
    assert set(answer.json()) == {"error", "hint"}


def test_a_server_for_others_goes_by_any_name(tmp_path):
    with client_of(app_of(scripted_backend(tmp_path), Rules(TOKEN, PORT, None))) as client:
        assert client.get("/api/about", headers={"Host": "machine.lan:8765"}).status_code == 200
        headers = {"Host": "machine.lan:8765", "Origin": "http://elsewhere.test:8765"}
        assert client.delete("/api/jobs/x", headers=headers).status_code == 403
        assert client.get("/api/about", headers={"Host": ""}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://elsewhere.test"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "http://localhost:8765"},  # not the name that was asked
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "nonsense"},
        {"Origin": ADDRESS, "Sec-Fetch-Site": "cross-site"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "OPTIONS", "GET"])
def test_other_sites_are_refused_even_with_the_key(client, visitor, method, headers):
    for one in (client, visitor):
        assert one.request(method, "/api/runs", headers={"X-Rereader": "1", **headers}).status_code == 403


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": ADDRESS}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}]
)
def test_our_own_page_may_change_things(visitor, headers):
    assert visitor.delete("/api/jobs/x", headers={"X-Rereader": "1", **headers}).status_code == 404


def test_a_cookie_alone_changes_nothing(visitor):
    assert visitor.delete("/api/jobs/x").status_code == 403
    assert visitor.delete("/api/jobs/x", headers={"X-Rereader": "0"}).status_code == 403
    assert visitor.get("/api/jobs").status_code == 200


def test_a_link_from_elsewhere_finds_a_locked_page(stranger):
    assert stranger.get("/runs", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 401


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 200),
        ("/api/about", {}, 200),
        ("/api/nothing", {}, 404),
        ("/api/runs/zzzz", {}, 404),
        ("/api/documents/x/text?start=-1", {}, 422),
        ("/api/about", {"Authorization": "Bearer wrong"}, 401),
        ("/", {"Authorization": "Bearer wrong"}, 401),
        ("/api/about", {"Host": "elsewhere.test"}, 403),
        ("/api/broken", {}, 500),
        ("/static/main.js", {}, 200),
        ("/static/nothing.js", {}, 404),
    ],
)
def test_every_answer_is_locked_down(client, backend, monkeypatch, path, headers, status):
    if status == 500:
        path = "/api/jobs"
        monkeypatch.setattr(backend.desk, "all", lambda: 1 // 0)
    answer = client.get(path, headers=headers)
    assert answer.status_code == status
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy and "form-action 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["cache-control"] == ("no-cache" if path == "/static/main.js" else "no-store")
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert "server" not in answer.headers


def test_an_error_of_ours_tells_nothing_of_the_machine(client, backend, monkeypatch):
    monkeypatch.setattr(backend.desk, "all", lambda: {}["/home/" + "me/secret"])
    answer = client.get("/api/jobs")
    assert answer.status_code == 500
    assert "secret" not in answer.text and "Traceback" not in answer.text
    assert answer.json()["error"] == "Internal error: KeyError."


def test_web_sockets_are_refused(client):
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/api/events"):
        pass


def test_files_outside_of_the_page_are_not_served(client):
    for path in (
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/static/",
    ):
        assert client.get(path).status_code == 404


def test_files_of_the_page_are_kept_and_asked_about(client):
    first = client.get("/static/main.js")
    again = client.get("/static/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"


def test_the_rules_compare_whole_names():
    assert RULES.knows_host("localhost:8765")
    assert not RULES.knows_host("localhost")
    assert Rules("x", 80, RULES.hosts).knows_host("[::1]")
    assert not RULES.knows_token(None)
