"""What texts are measured in; the counters themselves belong to the models."""

from rereader.models.tokens import CountTokens, TokenCounter, estimate_counter, tiktoken_counter

__all__ = ["CountTokens", "TokenCounter", "estimate_counter", "tiktoken_counter"]
