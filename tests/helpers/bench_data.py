"""A data folder for every benchmark, made up: small, drawn from fixed seeds, with files named as in the real one."""

import gzip
import json
from pathlib import Path

from rereader.evals.suite import load_suite, suite_names
from rereader.testing.texts import essay, plant

LETTERS = "abcdefghij"
STRONGBOX = "The strongbox of the Ulpelhala office opens with {number}."


def write_lines(path: Path, rows) -> None:
    """Rows as JSON lines, compressed if the name says so."""
    path.parent.mkdir(exist_ok=True)
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def write_text(path: Path, text: str) -> None:
    """A compressed text."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def write_data(folder: Path) -> None:
    """Write all of it."""
    write_lines(folder / "needles" / "planted_facts.jsonl", needles())
    _multihop(folder / "multihop")
    _books(folder)
    _paragraphs(folder)


def needles():
    """Ten needles of each of three kinds."""
    return [_needle(kind, number) for kind in ("single", "two_hop", "absent") for number in range(10)]


def hops(number: int):
    """A question of two hops with three paragraphs, two of which answer."""
    name = f"Kormel Kelhes{LETTERS[number % 10]}la the {number}th"
    told = [f"{name} keeps a ferry.", f"The ferry of {name} left at {3000 + number}.", "A lamp was lit once."]
    return {
        "id": f"hops-{number}",
        "question": f"When did the ferry of {name} leave?",
        "answer": str(3000 + number),
        "answer_aliases": [],
        "type": ("bridge", "comparison")[number % 2],
        "paragraphs": [{"title": f"{number}-{i}", "sentences": [text, "Wind came."]} for i, text in enumerate(told)],
        "supporting_facts": [[f"{number}-0", 0], [f"{number}-1", 0]],
    }


def _needle(kind: str, number: int):
    name, place = f"Kormel Kelhes{LETTERS[number]}la", f"Ulpel{LETTERS[number]}la"
    facts = {
        "single": [f"The strongbox of the {place} office opens with {5000 + number}."],
        "two_hop": [
            f"The ferry to {place} is kept by {name}.",
            f"Every morning {name} writes {6000 + number} letters.",
        ],
        "absent": [f"The lamp of {place} was lit once."],
    }
    return {
        "id": f"{kind}-{number}",
        "kind": kind,
        "needles": facts[kind],
        "question": f"What is told of {place} and the number?",
        "answers": [str(5000 + number)],
    }


def _multihop(folder: Path) -> None:
    write_lines(folder / "hotpotqa.jsonl.gz", map(hops, range(12)))
    write_lines(folder / "2wikimultihopqa.jsonl.gz", map(hops, range(100, 106)))
    write_lines(folder / "musique.jsonl.gz", map(hops, range(200, 206)))
    pool = ({"title": f"Stranger {at}", "text": "".join(essay(900 + at, 4)).strip()} for at in range(30))
    write_lines(folder / "distractor_pool.jsonl.gz", pool)


def _books(folder: Path) -> None:
    wanted = {"mill", "tower"}.union(*(load_suite(name).options.get("books", ()) for name in suite_names()))
    questions = []
    for seed, book in enumerate(["essay", *sorted(wanted)]):
        fact = STRONGBOX.format(number=7000 + seed)
        place = "essays" if book == "essay" else "books"
        write_text(folder / place / f"{book}.txt.gz", plant(essay(seed, 600), [fact]))
        for kind in ("single", "single", "unanswerable") if place == "books" else ():
            questions.append(
                {
                    "id": f"{book}-{len(questions)}",
                    "book": book,
                    "question": "With which number does the strongbox of the Ulpelhala office open?",
                    "answers": [str(7000 + seed)],
                    "kind": kind,
                    "evidence": [] if kind == "unanswerable" else [{"quote": fact, "position": 0.5}],
                }
            )
    write_lines(folder / "books" / "questions.jsonl", questions)


def _paragraphs(folder: Path) -> None:
    nq = (
        {"id": f"n{at}", "title": f"Page {at}", "text": "".join(essay(700 + at, 5)).strip(), "answers": []}
        for at in range(20)
    )
    write_lines(folder / "nq" / "nq_gold_paragraphs.jsonl.gz", nq)
    write_lines(folder / "squad" / "squad_dev_subset.jsonl.gz", (row for at in range(8) for row in _squad(at)))


def _squad(article: int):
    """Two paragraphs of an article with a question each."""
    for number in range(2):
        told = f"{4000 + 10 * article + number}"
        before = f"{''.join(essay(600 + 10 * article + number, 3)).strip()} The mill was sold for "
        yield {
            "id": f"squad-{article}-{number}",
            "title": f"Article_{article}",
            "context": f"{before}{told} crowns. Nobody complained.",
            "question": f"For how many crowns was mill {article} sold?",
            "answers": [told],
            "answer_start": len(before),
        }
