"""``python -m rereader``."""

from rereader.cli.main import main

if __name__ == "__main__":
    main()
