"""The types' checks are built at their first use, which may come from several threads at once."""

import subprocess
import sys

FIRST_USE = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from rereader.schema import Answer, Document, Record, RecordKind, Span, Usage
every = Barrier(16)
def make(turn):
    every.wait()
    span = Span(document_id="d", start=turn, end=turn + 1)
    record = Record.create(run_id="r", kind=RecordKind.NOTE, content="c", agent="a", spans=[span])
    answer = Answer(question="q", answer="a", graph="g", run_id="r", usage=Usage(calls=turn))
    return record.spans[0].start == Answer.model_validate_json(answer.model_dump_json()).usage.calls == turn
with ThreadPoolExecutor(16) as threads:
    print(all(threads.map(make, range(16))))
"""


def test_threads_that_use_a_type_first_get_it_whole() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_USE], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.split() == ["True"], done.stderr
