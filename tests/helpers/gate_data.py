"""Made-up two-hop questions in the form of the multi-hop sets: whoever keeps a thing, and where that person lives."""

import gzip
import json
from random import Random

THINGS = ["lantern", "compass", "ledger", "violin", "kettle", "saddle", "mirror", "anchor", "globe", "bellows"]
NAMES = ["Ulpel", "Sorrim", "Tavin", "Quesk", "Morda", "Belvan", "Ixtor", "Parnel", "Geluk", "Rostam"]
PLACES = ["Harbour Street", "the mill", "North Gate", "the old abbey", "Salt Row", "the tannery", "Fox Hill"]
FILLERS = [
    "The weather was mild that year and the roads were dry.",
    "Nobody remembers who painted the walls of the hall.",
    "Several carts of hay went by before noon.",
    "A choir sang in the square until late in the evening.",
    "The ferry was late again and the market closed early.",
]


def questions(source, count, seed=0):
    rng = Random(f"{source}:{seed}")
    return [_question(source, number, rng) for number in range(count)]


def _question(source, number, rng):
    thing = f"{rng.choice(THINGS)} of {rng.choice(NAMES)}{number}"
    keeper = f"{rng.choice(NAMES)}{rng.choice('aeiou')}{number} {rng.choice(NAMES)}"
    place = rng.choice(PLACES)
    first = [f"The {thing} is kept by {keeper}.", rng.choice(FILLERS)]
    second = [rng.choice(FILLERS), f"{keeper} lives in {place}."]
    others = [[rng.choice(FILLERS), f"{rng.choice(NAMES)}{rng.randrange(900)} sells rope."] for _ in range(4)]
    paragraphs = [
        {"title": f"Thing {source} {number}", "sentences": first, "is_supporting": True},
        {"title": f"Person {source} {number}", "sentences": second, "is_supporting": True},
        *(
            {"title": f"Other {source} {number}-{i}", "sentences": lines, "is_supporting": False}
            for i, lines in enumerate(others)
        ),
    ]
    return {
        "id": f"{source}:{number}",
        "question": f"Where does the one who keeps the {thing} live?",
        "answer": place,
        "answer_aliases": [],
        "type": "bridge",
        "supporting_facts": [[paragraphs[0]["title"], 0], [paragraphs[1]["title"], 1]],
        "paragraphs": paragraphs,
    }


def write_data(folder, count=40, sources=("hotpotqa", "2wikimultihopqa", "musique")):
    """A data folder with so many questions of each set."""
    (folder / "multihop").mkdir(parents=True, exist_ok=True)
    for source in sources:
        lines = "".join(json.dumps(row) + "\n" for row in questions(source, count))
        (folder / "multihop" / f"{source}.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    return folder
