"""Blocks of a real model with random weights: through the bank they are read as they were made."""

import pytest
from block_runs import QUESTION, TEXT
from local_models import wrap

from rereader.agents.compressor import block_pieces
from rereader.agents.context import RunContext
from rereader.graphs.registry import get_graph
from rereader.memory.invariants import check_library
from rereader.models.base import Sampling
from rereader.models.roles import Models
from rereader.prompts.loader import Piece, load
from rereader.testing.sessions import scripted_session

SETTINGS = {"chunk_tokens": 48, "working_tokens": 16, "max_new_tokens": 6, "gist": "extract", "decline_below": 0}
SHORT = TEXT[:1200]


@pytest.fixture(scope="module")
def model():
    made = wrap("qwen2", seed=3)
    yield made
    made.close()


@pytest.fixture
def session(tmp_path, model):
    made = scripted_session(tmp_path / "ws", Models(reader=model, scorer=model))
    yield made
    made.library.close()


def context_of(session, settings):
    document = session.library.documents.add(SHORT, title="t", source="t", loader="text/1")
    values = get_graph("compressed-memory").settings({**SETTINGS, **settings})
    session.prepare(document, settings={**SETTINGS, **settings})
    return RunContext(session.library, session.models, session.counter, values, document.id, (document,))


@pytest.mark.parametrize("compressor", ["none", "expected-attention"])
def test_at_ratio_1_a_block_from_the_bank_is_read_as_its_text_would_be(session, model, compressor):
    context = context_of(session, {"reads": "kv", "ratio": 1, "precision": "exact", "compressor": compressor})
    chunking = context.library.chunks.chunking(context.documents[0].id, context.chunking_key())
    block, text = block_pieces(context, "reader", [(chunking, 1)])[0], context.library.chunks.chunk(chunking, 1)
    raw = Piece(context.library.documents.text_of(text.span))
    prompts = [load("kv_answer").render(memory=[p], known="", question=QUESTION) for p in (block, raw)]
    assert model.prompt_tokens(prompts)[0] == model.prompt_tokens(prompts)[1]
    ends = [" The ferry", " The ferry"]
    found = model.log_likelihood(prompts, ends)
    assert abs(found[0] - found[1]) < 1e-3
    one, other = model.generate(prompts, Sampling(max_new_tokens=12))
    assert one.text == other.text
    chosen = model.choose([load("kv_gate").render(memory=[p], known="", question=QUESTION) for p in (block, raw)], "AB")
    assert abs(chosen[0] - chosen[1]).max() < 1e-3


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@pytest.mark.parametrize("form", [{"reads": "kv"}, {"reads": "both"}, {"reads": "kv", "order": "scan"}], ids=str)
def test_a_run_on_blocks_is_the_same_again_and_leaves_the_bank_clean(session, form, precision):
    document = session.library.documents.add(SHORT, title="t", source="t", loader="text/1")
    settings = {**SETTINGS, **form, "precision": precision, "waves": 2}
    first = session.ask(QUESTION, [document.id], settings=settings)
    again = session.ask(QUESTION, [document.id], settings=settings)
    assert first.status in ("answered", "declined")
    assert first.answer == again.answer
    made = sum(call.method == "compress" for step in session.library.runs.steps(first.run_id) for call in step.calls)
    assert made == first.usage.calls - again.usage.calls > 3
    assert again.usage.cached_calls == again.usage.calls
    assert [finding for finding in check_library(session.library) if finding.state != "ok"] == []


def test_the_size_that_is_told_is_near_the_size_that_is_taken(session):
    context = context_of(session, {"reads": "kv"})
    chunking = context.library.chunks.chunking(context.documents[0].id, context.chunking_key())
    texts = [context.library.documents.text_of(chunk.span) for chunk in context.library.chunks.range(chunking)]
    from rereader.models.kvmemory import Compression

    model = session.models.reader
    told = sum(model.kv_bytes(tokens, Compression(), "bfloat16") for tokens in model.count_tokens(texts))
    assert 0.7 < told / session.library.bank.held() < 1.4


def test_a_damaged_file_of_a_real_block_is_made_again(session):
    context = context_of(session, {"reads": "kv"})
    chunking = context.library.chunks.chunking(context.documents[0].id, context.chunking_key())
    [row] = session.library.database.rows("SELECT key FROM kv_blocks WHERE chunk = 2")
    path = session.library.bank.files.path(row["key"])
    body = path.read_bytes()
    path.write_bytes(body[:-9] + b"\xff" * 9)
    [piece] = block_pieces(context, "reader", [(chunking, 2)])
    assert path.stat().st_size == len(body) and not path.read_bytes().endswith(b"\xff" * 9)
    assert piece.memory[0].digest == session.library.records.get([piece.record])[0].content
    assert any("damaged" in text for text in context.warnings)
