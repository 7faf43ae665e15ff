"""A made-up book with one fact in it, and the question that it answers."""

from rereader.testing.texts import essay, plant

FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"


def write_book(path, sentences, seed=1):
    """A book of so many sentences and the fact."""
    path.write_text(plant(essay(seed, sentences), [FACT]), encoding="utf-8")
    return path
