"""Which model fills which role, and what is said about it."""

import pytest

from rereader.config import Config
from rereader.runs.choosing import choose_names
from rereader.schema import InputError


def test_a_named_role_silences_only_its_own_warning(tmp_path):
    config = Config(models_dir=tmp_path)
    names, all_of_them = choose_names(config)
    assert (names.reader, names.embedder) == ("extractive", "hashing")
    _, rest = choose_names(config, {"reader": "extractive"})
    assert len(rest) == len(all_of_them) - 1
    assert not any(text.startswith("The reader") for text in rest)


def test_the_configuration_names_models_and_the_call_overrules_it(tmp_path):
    config = Config(models_dir=tmp_path, model="a", roles={"scorer": "b"})
    names, _ = choose_names(config, {"scorer": "c"})
    assert (names.reader, names.scorer) == ("a", "c")
    with pytest.raises(InputError, match="poet"):
        choose_names(config, {"poet": "x"})
