"""A data folder for every benchmark, made up: small, drawn from fixed seeds, with files named as in the real one."""

import gzip
import json
from pathlib import Path

from rereader.evals.suite import load_suite, suite_names
from rereader.models.tokens import TokenCounter
from rereader.testing.texts import essay, plant

WORDS = TokenCounter("words", exact=True, count=lambda texts: [len(text.split()) for text in texts])
"""Counts words, for lengths that a test can count itself."""
LETTERS = "abcdefghij"
BABI = ("qa1", "qa2", "qa3", "qa4", "qa5", "qa8", "qa19")
PLACES = ("garden", "hallway", "kitchen", "office")
STRONGBOX = "The strongbox of the Ulpelhala office opens with {number}."


def write_lines(path: Path, rows) -> None:
    """Rows as JSON lines, compressed if the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
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
    write_lines(folder / "flenqa_style" / "flenqa_style.jsonl.gz", (row for at in range(12) for row in _flenqa(at)))
    write_lines(folder / "babi" / "babi.jsonl.gz", (babi(task, at) for task in BABI for at in range(6)))
    write_lines(folder / "quality" / "quality.jsonl.gz", map(article, range(8)))
    write_lines(folder / "squality" / "squality.jsonl.gz", map(story, range(8)))
    write_lines(folder / "qmsum" / "qmsum.jsonl.gz", map(meeting, range(8)))
    for name in ("natural_questions", "scientific_papers", "legal_contracts"):
        write_lines(folder / "longdoc_qa" / f"{name}.jsonl.gz", (document(name, at) for at in range(6)))


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


def _flenqa(number: int):
    """One question at two lengths."""
    base, keys = f"ages-{number:02}", [f"Ann {number} is older than Bo {number}.", f"Bo {number} is older than Cy."]
    for length in (250, 500):
        yield {
            "id": f"{base}-{length}",
            "base": base,
            "task": "ages",
            "length": length,
            "placement": "spread",
            "context": plant(essay(number, length // 12), keys),
            "key_sentences": keys,
            "question": f"Is {('Ann', 'Bo')[number % 2]} {number} the oldest?",
            "label": number % 2 == 0,
        }


def babi(task: str, number: int):
    """A question on where somebody is, whatever the task; lists and ways for two of them."""
    place = PLACES[number % 4]
    answer = {"qa8": "milk,apple", "qa19": "s,e"}.get(task, place)
    return {
        "id": f"babi-{task}-{number}",
        "task": task,
        "facts": [f"Mary went to the {PLACES[(number + 1) % 4]}.", f"John went to the {place}.", "Mary slept."],
        "question": "Where is John?",
        "answer": answer,
        "supporting": [1],
    }


def article(number: int):
    """An article with two questions of four options."""
    told = [f"The mill {number} was painted {colour}." for colour in ("red", "blue")]
    options = ["red", "blue", "green", "black"]
    asked = [f"Which colour came {when}?" for when in ("first", "last")]
    questions = [
        {"id": f"a{number}-{at}", "question": question, "options": options, "gold": at}
        for at, question in enumerate(asked)
    ]
    return {"article_id": f"article-{number}", "article": plant(essay(number, 40), told), "questions": questions}


def story(number: int):
    """A story with two requests and two references each."""
    references = [f"A mill {number} is sold.", f"Somebody sells the mill {number}."]
    asked = ("What is the plot?", "Who sells the mill?")
    questions = [{"question": question, "references": references} for question in asked]
    return {"passage_id": str(number), "document": "".join(essay(number, 40)), "questions": questions}


def meeting(number: int):
    """A meeting of twenty turns with a query on all of it and one on two turns."""
    transcript = [[f"Speaker {at % 3}", f"turn {at} of meeting {number}."] for at in range(20)]
    return {
        "meeting_id": f"meeting-{number}",
        "transcript": transcript,
        "general": [{"query": "Summarise the meeting.", "answer": f"They took turns in meeting {number}."}],
        "specific": [{"query": "What was turn 4?", "answer": "It was turn four.", "turns": [["4", "5"], ["19", "30"]]}],
    }


def document(name: str, number: int):
    """A document with a question whose answer stands in it once, and one whose answer does not."""
    told = f"clause {number} of {name} holds"
    questions = [
        {"id": f"{name}-{number}-0", "question": "Which clause holds?", "answer": told, "answer_in_document": True},
        {"id": f"{name}-{number}-1", "question": "What else?", "answer": "nothing of it", "answer_in_document": False},
    ]
    text = plant(essay(number, 60), [f"Here {told} for good."])
    return {"doc_id": f"{name}-{number}", "document": text, "questions": questions}
