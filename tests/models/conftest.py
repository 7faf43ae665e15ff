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


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A tiny random model that llama.cpp runs."""
    pytest.importorskip("xllamacpp", reason="the extra llamacpp is not installed")
    from tiny_llamacpp import make

    from rereader.models.llamacpp import LlamaCppModel

    folder = tmp_path_factory.mktemp("model")
    make(folder)
    made = LlamaCppModel.load(folder, name="tiny", threads=1)
    yield made
    made.close()
