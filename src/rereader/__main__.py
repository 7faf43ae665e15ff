"""``python -m rereader``."""

from rereader.cli.entry import main

if __name__ == "__main__":
    main()
