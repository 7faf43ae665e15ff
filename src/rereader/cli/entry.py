"""The console script: nothing heavy is imported before Ctrl-C is provided for."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is still being loaded ends with exit code 130, without a traceback."""
    try:
        from rereader.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()
