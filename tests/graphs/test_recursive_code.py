"""Recursive runs by code: the sandbox inside a run, its calls, its answers and what is told of it."""

import json
import re
import sys

import pytest
from recursive_runs import FACT, TEXT, Runs, helped, rooted, told, turns_of

from rereader.schema import InputError


@pytest.fixture
def ask(tmp_path):
    runs = Runs(tmp_path)
    yield runs
    runs.close()


BLOCKS = [
    "```repl\nhits = [m.start() for m in re.finditer('strongbox', P)]\nprint(hits)\n```",
    "```repl\nr = llm_query_batched(['What opens it? ' + P[h - 100:h + 300] for h in hits])\n"
    "kept = llm_query('Say ' + r[0])\n```",
    "```repl\nprint(len(r), kept)\n```",
    "```repl\nFINAL(kept)\n```",
]

code_only = pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="no sandbox here")


@code_only
def test_code_runs_on_the_text_and_its_calls_become_evidence(ask):
    answer, reader, session = ask(BLOCKS, mode="code")
    assert answer.status == "answered" and answer.warnings == []
    notes = [r for r in session.library.records.of_run(answer.run_id) if r.agent == "subreader"]
    assert notes and all(FACT in session.library.documents.text_of(n.spans[0]) for n in notes)
    assert FACT in answer.evidence[0].quote
    assert [turn["sub_calls"] for turn in turns_of(session, answer)] == [0, 2, 0, 0]
    assert told(session, answer)[0].startswith(f"[{TEXT.index('strongbox')}]\n[variables: hits (list 1)")
    assert "harbour" not in "".join(
        json.dumps(c.slots) for s in session.library.runs.steps(answer.run_id) for c in s.calls
    )
    assert TEXT[:200] not in rooted(reader)[0] and f"{len(TEXT):,} characters" in rooted(reader)[0]


@code_only
@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ("```repl\nFINAL('He said \"5265\", (twice).')\n```", 'He said "5265", (twice).'),
        ("```python\nx = '5265 ' * 3\nFINAL_VAR('x')\n```", "5265 5265 5265"),
        ('I am done.\nFINAL(It is "5265", (so they say).)', 'It is "5265", (so they say).'),
        ("```\nFINAL(5265)", "5265"),
    ],
)
def test_code_may_answer_in_these_ways(ask, reply, text):
    answer, _, _ = ask(["```\nprint(len(P))\n```", reply], mode="code")
    assert (answer.answer, answer.warnings) == (text, [])


@code_only
@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        (["no code at all"] * 3, "3 errors in a row"),
        (["```\n1/0\n```", "```\nimport os\n```", "FINAL_VAR(nothing)"], "3 errors in a row"),
        (["```\nFINAL('<answer>')\n```"], "an empty answer"),
        (["FINAL()"], "an empty answer"),
        (["```\nprint(1)\n```"] * 2, "no answer in 2 turns"),
    ],
)
def test_code_that_comes_to_nothing_falls_back(ask, replies, reason):
    answer, _, _ = ask(replies, mode="code", turns=2 if "turns" in reason else 12)
    assert any(reason in warning for warning in answer.warnings)
    assert answer.answer == "5265"


@code_only
def test_much_that_is_printed_is_cut_and_said(ask):
    answer, reader, session = ask(["```\nprint(P * 10)\n```", '```\nFINAL("5265")\n```'], mode="code", window=8192)
    [first, _] = told(session, answer)
    assert len(first) < 20_100 and re.search(r"\[[\d,]{6,} more characters were not shown\]", first)
    assert len(rooted(reader)[1]) < 8_192 * 2 / 3 + 4_000  # as much of it as fits the window


@code_only
def test_a_block_that_never_ends_costs_its_variables_and_is_told(ask):
    blocks = [
        "```\nx = 1\n```",
        "```\nwhile True: pass\n```",
        "```\nprint(x)\n```",
        "```\nx = 2\n```",
        "```\nFINAL(x)\n```",
    ]
    answer, _, session = ask(blocks, mode="code", block_seconds=1)
    heard = told(session, answer)
    assert "took longer than 1 seconds" in heard[1] and "variables of earlier turns are lost" in heard[1]
    assert "NameError" in heard[2]
    assert answer.answer == "2"


@code_only
def test_calls_of_code_are_capped_and_a_long_prompt_is_refused(ask):
    blocks = [
        "```\nr = llm_query_batched([str(i) for i in range(4)])\n```",
        "```\nr = llm_query_batched([str(i) for i in range(4)])\n```",
        "```\ntry:\n    llm_query(P * 9)\nexcept RuntimeError as error:\n    print(error)\n```",
        '```\nFINAL("5265")\n```',
    ]
    answer, reader, session = ask(blocks, lambda prompt: "x", mode="code", sub_calls=5, window=16_384)
    heard = told(session, answer)
    assert "4 calls of the helper are too many, 1 are left" in heard[1]
    assert "tokens and the helper reads" in heard[2]
    assert len(helped(reader)) == 4


@code_only
def test_code_at_depth_two_may_call_a_run_on_another_text(ask):
    blocks = [
        "```\nr = rlm_query('Which number?', P[:9000])\nprint(r)\n```",
        "```\nhits = [m.start() for m in re.finditer('box', P)]\nprint(len(P), llm_query('q ' + P[:500]))\n```",
        '```\nFINAL("5265 from below")\n```',
        "```\nprint('r' in 'r', r)\nFINAL(r)\n```",
    ]
    answer, reader, session = ask(blocks, lambda prompt: "seen", mode="code", depth=2)
    assert answer.answer == "5265 from below"
    assert [turn["sub_calls"] for turn in turns_of(session, answer)] == [3, 0]
    assert (
        "rlm_query(prompt, text)" in rooted(reader)[0] and "rlm_query(" not in rooted(reader)[1].split("Done so far")[0]
    )
    assert "9,000 characters" in rooted(reader)[1]
    blocks = ["```\nrlm_query('Which?', P)\n```", '```\nFINAL("5")\n```']
    answer, _, session = ask(blocks, mode="code")
    assert "NameError" in turns_of(session, answer)[0]["error"]


@code_only
def test_no_process_is_left_behind(ask):
    import psutil

    before = {child.pid for child in psutil.Process().children()}
    ask(BLOCKS, mode="code")
    ask(["```\nx = 1\n```"] * 2, mode="code", turns=2)
    assert {child.pid for child in psutil.Process().children()} == before


def test_code_is_refused_where_it_cannot_be_locked_in(ask, monkeypatch):
    monkeypatch.setattr("rereader.tools.sandbox.sys.platform", "win32")
    with pytest.raises(InputError, match="cannot be locked in on win32"):
        ask(BLOCKS, mode="code")
