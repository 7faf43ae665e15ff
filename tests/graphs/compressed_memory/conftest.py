"""A way to ask ``compressed-memory`` with blocks."""

import pytest
from block_runs import Asking


@pytest.fixture
def ask(tmp_path):
    asking = Asking(tmp_path)
    yield asking
    asking.close()
