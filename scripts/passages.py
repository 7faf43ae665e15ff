"""What the tuning scripts share: a text cut into passages, their vectors, and the recall of a ranking."""

import json
import subprocess
import time

import numpy as np

from rereader.tools.sentences import sentence_spans
from rereader.tools.words import count_words


def passages_of(text, spans, words):
    """``(start, end, sentence numbers)`` of joined sentences."""
    made, held = [], 0
    for i, (start, end) in enumerate(spans):
        size = count_words(text[start:end])
        if made and held + size <= words:
            made[-1] = (made[-1][0], end, [*made[-1][2], i])
            held += size
        else:
            made.append((start, end, [i]))
            held = size
    return made


def first_windows(sentences, embedder):
    """Vectors of sentences: float32 [n, d]; of a long one its first window only."""
    windows = embedder.windows(sentences)
    return embedder.embed([s[: (inside or [(0, 0)])[0][1]] for s, inside in zip(sentences, windows, strict=True)])


def sentences_of(text):
    """Spans and stripped texts of the sentences."""
    spans = sentence_spans(text)
    return spans, [text[start:end].strip() for start, end in spans]


def dense_scores(passages, cosine):
    """Of every passage, the cosine of its best sentence."""
    return np.array([cosine[inside].max() for _, _, inside in passages])


def recall(scores, passages, text, gold, words):
    """Share of gold spans half covered by the best passages that fit ``words`` words."""
    chosen, left = [], words
    for i in np.argsort(-scores, kind="stable")[:3000]:
        start, end, _ = passages[i]
        size = count_words(text[start:end])
        if 0 < size <= left:
            left -= size
            chosen.append((start, end))
    covered = [sum(max(0, min(end, y) - max(start, x)) for x, y in chosen) for start, end in gold]
    return float(np.mean([got >= 0.5 * (end - start) for got, (start, end) in zip(covered, gold, strict=True)]))


def write_rows(path, rows):
    """Write rows with the commit and the date they were measured at."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps({**row, "commit": commit, "date": time.strftime("%Y-%m-%d")}) + "\n")
