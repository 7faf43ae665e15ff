"""Tiny local models, random prompts for them, and the plain forward pass that they are compared with."""

import random

import torch

from rereader.models.base import Segment
from rereader.models.local import LocalModel
from rereader.models.tiny import tiny_model

RULES = Segment("system", "Answer from the text, and from nothing else.", cacheable=True)
WORDS = ["the", "river", "and", "the", "tower", "in", "winter", "on", "an", "island", "1897", "fer", "ther"]


def wrap(family="llama", seed=0, chat=True, **kwargs):
    model, tokenizer = tiny_model(family, seed, chat)
    return LocalModel(model, tokenizer, name=f"tiny-{family}", **kwargs)


def save_tiny(folder, family="llama", seed=0):
    """A model with random weights and its tokenizer in a folder, as others publish them."""
    for part in tiny_model(family, seed):
        part.save_pretrained(folder)
    return folder


def prompt(rng, words):
    text = " ".join(rng.choice(WORDS) for _ in range(words))
    return (RULES, Segment("user", text, trusted=False), Segment("user", " Who?"))


def prompts(seed, count=7):
    rng = random.Random(seed)
    return [prompt(rng, rng.randrange(1, 40)) for _ in range(count)]


def rendered(model, item):
    return list(model._renderer.render(item).ids)


def plain_logprobs(model, ids):
    """Log-probabilities after every position, by one full forward pass without any cache."""
    with torch.no_grad():
        return model._engine.prefill_model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
