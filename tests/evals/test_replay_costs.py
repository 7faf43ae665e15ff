"""What replaying costs: the ways read what they should, and the published procedure finds the same scores."""

import json

import numpy as np
import pytest
import torch
from local_models import wrap
from transformers import DynamicCache

from rereader.evals.published_replay import PublishedReplay
from rereader.evals.replay_costs import (
    EVIDENCE_TOKENS,
    QUESTION_TOKENS,
    Job,
    full_context,
    looked,
    replay_costs,
    replayed,
)
from rereader.evals.report import render
from rereader.models.base import Head
from rereader.models.scripted import ScriptedModel
from rereader.schema.errors import InputError
from rereader.tools.attended import decayed

HEADS = [Head(0, 1), Head(1, 2)]


@pytest.fixture
def model():
    made = wrap(find_heads=lambda: HEADS)
    yield made
    made.close()


def reads(model, run):
    """Tokens that go through the first layer."""
    seen = []
    layer = model.engine.prefill_model.model.layers[0]
    hook = layer.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].shape[1]))
    with torch.inference_mode():
        parts = run()
    hook.remove()
    return sum(seen), parts


def test_the_ways_read_what_they_say(model):
    job = Job.make(range(3, 200), 600)
    assert len(job.text) == 600 and sum(map(len, job.evidence)) == EVIDENCE_TOKENS
    plain, parts = reads(model, lambda: full_context(model.engine, job, job.questions[0]))
    assert plain == 600 + QUESTION_TOKENS + 31 and set(parts) == {"read", "reply"}
    cold, parts = reads(model, lambda: replayed(model.engine, job, job.questions[0], HEADS))
    assert cold == 600 + 4 * QUESTION_TOKENS + EVIDENCE_TOKENS + QUESTION_TOKENS + 31
    assert set(parts) == {"read", "look", "replay", "reply"}
    warm, _ = reads(model, lambda: replayed(model.engine, job, job.questions[1], HEADS, warm=True))
    assert warm == cold - 600 - QUESTION_TOKENS
    for whole in (True, False):
        found, parts = reads(model, lambda whole=whole: looked(model.engine, job, HEADS[:1], whole=whole))
        assert found == 600 + 2 * QUESTION_TOKENS and set(parts) == {"read", "look"}
        assert len(model.engine._context.cache.layers) == (2 if whole else 1)


def test_the_published_cues_see_what_ours_see(model):
    job = Job.make(range(3, 200), 100)
    theirs = PublishedReplay(model.engine.prefill_model, HEADS, model.tokenizer.decode, [(5, 6)])
    question = job.questions[0]
    attends_by = model._config._attn_implementation
    with torch.inference_mode():
        cache = DynamicCache()
        theirs._read(cache, (*job.text, *question[:-8]))
        score = theirs._look(cache, question[-8:])
    context = model.engine.read(job.text, [100], lambda: False)
    rows = model.engine.attend(context, question, HEADS)
    np.testing.assert_allclose(score.numpy(), decayed(rows.by_query.numpy()[-8:], 0.75), atol=1e-6)
    assert model._config._attn_implementation == attends_by
    parts = theirs.run(job.text, job.evidence, question, 4)
    assert set(parts) >= {"read", "copy", "look eagerly", "mask the template", "decode and split", "replay", "reply"}


def test_rows_are_written_once_and_become_a_table(model, tmp_path):
    out = tmp_path / "costs.jsonl"
    assert replay_costs(model, [64, 128], out, repeats=2) == 24
    assert replay_costs(model, [64, 128], out, repeats=2) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["system"] for row in rows if "system" in row} == {
        "full-context",
        "look",
        "look, all layers",
        "cold",
        "warm",
        "published",
    }
    table = render([out])
    assert "| 64 | full-context |" in table and "| 128 | warm |" in table and " 1.00 | 1.00 |" in table


def test_what_cannot_be_timed_is_refused(model, tmp_path):
    with pytest.raises(InputError, match="do not fit the window"):
        replay_costs(model, [10**6], tmp_path / "x.jsonl")
    with pytest.raises(InputError, match="does not run in this process"):
        replay_costs(ScriptedModel(["x"]), [64], tmp_path / "x.jsonl")
