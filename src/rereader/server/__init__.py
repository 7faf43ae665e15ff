"""The page of ``rereader serve`` and the API behind it: what is stored, read as JSON, and work that a queue does."""
