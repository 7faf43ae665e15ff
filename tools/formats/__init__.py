"""Readers of document formats, one file each: bytes in, text and the places in it out."""
