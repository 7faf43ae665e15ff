"""Compressors: each decides which keys and values of a text stand in for all of them, without knowing a question."""
