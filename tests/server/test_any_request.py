"""Every operation of the API page with any value in any place: an answer, or an error that says how to mend it."""

import json
import shutil
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import app_of, client_of

from rereader.testing.serving import scripted_backend

LEFT_OUT = {("get", "/api/events"), ("post", "/api/documents"), ("delete", "/api/documents/{document}")}
"""A stream without an end; files, which have tests of their own; and what would take the document away."""
ODD = ["", " ", "0", "-1", "9" * 30, "nan", "\0", "\u202e\U0001f41d", "../../x", "%00", "a" * 3_000, "[", "NULL", "*"]
words = st.sampled_from(ODD) | st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def api(tmp_path_factory, prepared):
    """A client, the operations of the page, its schemas, and names that are there."""
    source, document, answer = prepared
    folder = tmp_path_factory.mktemp("any") / "workspace"
    shutil.copytree(source, folder)
    with client_of(app_of(scripted_backend(folder))) as client:
        page = client.get("/openapi.json").json()
        operations = [
            (method, path, told)
            for path, methods in page["paths"].items()
            for method, told in methods.items()
            if (method, path) not in LEFT_OUT
        ]
        known = {"run_id": answer.run_id, "other": answer.run_id, "document": document.id, "number": "2", "job": "1"}
        yield client, operations, page["components"]["schemas"], known


def body_of(draw, told, schemas):
    """A body with the fields of its schema, some of them right in kind."""
    schema = told["requestBody"]["content"]["application/json"]["schema"]
    fields = schemas[schema["$ref"].rpartition("/")[2]]["properties"]
    return {name: draw(values) for name in fields if draw(st.booleans())}


@settings(max_examples=250, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_request_is_answered(data, api):
    client, operations, schemas, known = api
    method, path, told = data.draw(st.sampled_from(operations))
    query = {}
    for parameter in told.get("parameters", []):
        name = parameter["name"]
        value = data.draw(words | st.just(known.get(name, "1")))
        if parameter["in"] == "path":
            path = path.replace(f"{{{name}}}", quote(value or "x", safe=""))
        elif parameter["in"] == "query" and data.draw(st.booleans()):
            query[name] = value
    body = body_of(data.draw, told, schemas) if "requestBody" in told else None
    content = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"} if content else {}
    answer = client.request(method, path, params=query, content=content, headers=headers)
    assert answer.status_code < 500 or answer.status_code == 503, (method, path, query, body, answer.text)
    if answer.status_code >= 400:
        assert set(answer.json()) == {"error", "hint"}, (method, path, query, body, answer.text)
        assert "Traceback" not in answer.text
