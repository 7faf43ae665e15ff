"""What the code may not do with what others made: run it, unpickle it, or take it without a checksum."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from rereader.models.catalogue import load_catalogue

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("src/rereader", "agents", "graphs", "tools", "prompts", "memory", "scripts")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
SCRIPTS = [path for path in sorted((ROOT / "scripts").iterdir()) if path.is_file() and not path.suffix]
FILES += [path for path in SCRIPTS if b"python" in path.read_bytes().partition(b"\n")[0]]
SANDBOX = ROOT / "tools" / "sandbox_child.py"
"""The one place where a model's code is run: behind the walls of ``tools/sandbox_lock.py``."""
FORBIDDEN = {
    *(f"{module}.{name}" for module in ("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "joblib")
      for name in ("load", "loads", "Unpickler")),
    *("shelve.open", "pandas.read_pickle", "pd.read_pickle", "yaml.load", "yaml.unsafe_load", "yaml.full_load"),
    *("os.system", "os.popen", "code.interact", "runpy.run_path", "subprocess.getoutput", "tempfile.mktemp"),
    *("eval", "exec"),
}  # fmt: skip
UNSAFE = {"trust_remote_code": True, "shell": True, "allow_pickle": True, "weights_only": False, "verify": False}
LOADERS = ("AutoConfig", "AutoTokenizer", "AutoModel", "AutoModelForCausalLM", "AutoProcessor")


def name_of(node: ast.expr) -> str:
    """A dotted name; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := name_of(node.value)):
        return f"{before}.{node.attr}"
    return ""


def given(call: ast.Call) -> dict[str | None, object]:
    """Keywords of a call and their values, as far as these are plain; ``None`` for ``**more``."""
    return {word.arg: getattr(word.value, "value", ...) for word in call.keywords}


def faults(source: str, *, sandbox: bool = False) -> Iterator[str]:
    """What a module does that it may not."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            words = {getattr(key, "value", None): getattr(value, "value", ...) for key, value in pairs}
        elif isinstance(node, ast.Call):
            words = given(node)
            name = name_of(node.func)
            if name in FORBIDDEN and not (sandbox and name == "exec"):
                yield f"line {node.lineno}: {name}"
            if name == "torch.load" and words.get("weights_only") is not True:
                yield f"line {node.lineno}: torch.load without weights_only=True"
            loads = name.rpartition(".")[2] == "SentenceTransformer" or (
                name.endswith(".from_pretrained") and name.split(".")[-2] in LOADERS
            )
            if loads and "trust_remote_code" not in words and None not in words:
                yield f"line {node.lineno}: {name} without trust_remote_code=False"
        else:
            continue
        yield from (f"line {node.lineno}: {word}={value}" for word, value in UNSAFE.items() if words.get(word) is value)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_or_unpickles_what_others_made(path: Path) -> None:
    assert list(faults(path.read_text(encoding="utf-8"), sandbox=path == SANDBOX)) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.load(open('a', 'rb'))",
        "import torch\ntorch.load('a')",
        "torch.load('a', weights_only=False)",
        "yaml.load(text)",
        "eval('1')",
        "exec(code, {})",
        "subprocess.run('ls', shell=True)",
        "numpy.load('a', allow_pickle=True)",
        "AutoModel.from_pretrained('a', trust_remote_code=True)",
        "transformers.AutoConfig.from_pretrained('a')",
        "options = {'trust_remote_code': True}",
        "sentence_transformers.SentenceTransformer('a')",
        "os.system('ls')",
    ],
)
def test_each_of_these_is_found(source: str) -> None:
    assert list(faults(source))


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "re.compile('a')",
        "torch.load('a', weights_only=True)",
        "AutoModel.from_pretrained('a', trust_remote_code=False)",
        "subprocess.run(['ls'], shell=False)",
    ],
)
def test_none_of_these_is(source: str) -> None:
    assert list(faults(source)) == []


def test_every_model_of_the_catalogue_is_pinned_and_holds_weights_only() -> None:
    for entry in load_catalogue().entry:
        assert len(entry.sha256) == 64 and all(len(package.sha256) == 64 for package in entry.packages)
        plain = {"gguf": ".gguf", "folder": ".safetensors", "packed": ".bin", "verses": ".txt"}
        assert entry.file.endswith(plain[entry.form]), entry.name  # a packed file is read by our own code, as numbers
