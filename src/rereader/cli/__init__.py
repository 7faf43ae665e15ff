"""The command line ``rereader``."""
