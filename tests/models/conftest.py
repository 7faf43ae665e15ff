"""What tests of several model modules use."""

import pytest
import torch
from local_models import wrap

from rereader.models.measure import Settings


@pytest.fixture(scope="module")
def one_thread():
    """Tiny models gain nothing from a second thread, and wait for it when other programs are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tiny():
    made = wrap(settings=Settings(prefill_batch=2, decode_batch=3))
    yield made
    made.close()
