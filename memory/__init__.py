"""The library: documents, chunks, records, vectors, full text, runs and the call cache of one workspace."""
