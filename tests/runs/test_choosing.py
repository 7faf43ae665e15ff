"""Which model fills which role, and what is said about it."""

from typing import get_args

import pytest

from rereader.config import Config, load_config
from rereader.models.roles import RoleNames
from rereader.runs.choosing import choose_names
from rereader.runs.session import open_session
from rereader.schema import InputError
from rereader.schema.types import Runtime


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


@pytest.mark.parametrize("runtime", get_args(Runtime))
def test_every_runtime_may_be_configured(runtime, tmp_path, monkeypatch):
    monkeypatch.setenv("REREADER_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").write_text(f'runtime = "{runtime}"\n')
    assert load_config().runtime == runtime
    names = RoleNames("extractive", "none", "none", "hashing")
    with open_session(tmp_path / "ws", names=names, runtime=runtime) as session:
        assert session.models.describe()["reader"] == "extractive"
