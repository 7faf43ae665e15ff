"""A trained gate that reads: the scorer with low-rank adapters (LoRA, arXiv 2106.09685) and a linear head.

The head stands on the hidden state of the gate prompt's last token. To those who ask it is a language model that can
only choose between two replies, so its calls are counted, kept and shown like any other's. The scorer itself is left
as it is: adapters are put into a copy of its modules, which shares its weights.
"""

from __future__ import annotations

import hashlib
import json
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from pydantic import ValidationError

from rereader.models import batching
from rereader.models.base import Cancel, Capabilities, Float32Array, Generation, LanguageModel, Prompt, Sampling
from rereader.models.calibration import Calibration
from rereader.models.files import hash_file, share, writing
from rereader.models.hub_kernels import no_hub_kernels
from rereader.models.rendering import Renderer
from rereader.schema.errors import InputError, Interrupted, MissingExtra, ModelError

if TYPE_CHECKING:
    import torch

FACTS = "gate.json"
HEAD = "gate_head.safetensors"
VERSION = 2
PROBE = "The bridge was built in 1897."
_WEIGHTS = "adapter_model.safetensors"
_FILES = (_WEIGHTS, HEAD, "adapter_config.json")
_BLOCK_TOKENS = 4096
_SAME = 0.99
_AGAIN = "rereader train gate --lora"
_HINT = f"Name the model it was trained on with --role scorer=NAME, or train another: {_AGAIN}"


def require_peft() -> Any:
    """The module ``peft``.

    Raises:
        MissingExtra: If it is not installed.
    """
    try:
        with no_hub_kernels():
            import peft
    except ImportError as error:
        raise MissingExtra("Adapters", "train") from error
    return peft


@contextmanager
def _without_its_warnings() -> Iterator[None]:
    """Keep back what peft provokes by asking transformers for a name that has been changed; it works all the same."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield


class GateReader:
    """Adapters in a causal language model, and the head on them.

    Args:
        model: The adapted model, as ``peft`` made it.
        renderer: Turns prompts into its tokens.
        weight: The head's weights: float32 [hidden].
        bias: The head's bias: float32 [].
    """

    def __init__(self, model: Any, renderer: Renderer, weight: torch.Tensor, bias: torch.Tensor) -> None:
        self.model = model
        self.renderer = renderer
        self.weight = weight
        self.bias = bias

    def raw(self, rows: Sequence[Sequence[int]], cancel: Cancel | None = None) -> Float32Array:
        """The raw score of each prompt, read in batches of like length: float32 [prompts].

        Raises:
            Interrupted: If ``cancel`` is set between two batches.
            ModelError: If a score is not a number, or memory runs out.
        """
        import torch

        from rereader.models.logprobs import require_numbers

        def run(part: Sequence[int]) -> list[float]:
            if cancel is not None and cancel.is_set():
                raise Interrupted("Gating was stopped.", "Resume the run, or run the same again.")
            found: list[float] = require_numbers(self.scores([rows[place] for place in part])).tolist()
            return found

        batches = batching.plan_batches([len(row) for row in rows], max(1, len(rows)), _BLOCK_TOKENS)
        with torch.inference_mode():
            found = batching.restore(batches, [batching.run_halving(batch, run) for batch in batches])
        return np.array(found, dtype=np.float32)

    def scores(self, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """The raw score of each prompt, given as tokens: float32 [prompts]; gradients flow where they are wanted."""
        return self.states(ids).float() @ self.weight + self.bias

    def states(self, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """The hidden state of each prompt's last token: [prompts, hidden]."""
        import torch

        longest = max(map(len, ids))
        # What fills a row up stands behind its last token, where no token looks.
        rows = torch.tensor([[*row, *[row[-1]] * (longest - len(row))] for row in ids], device=self.model.device)
        decoder = self.model.get_base_model().get_decoder()
        hidden = decoder(input_ids=rows, use_cache=False).last_hidden_state
        return cast("torch.Tensor", hidden[torch.arange(len(ids)), torch.tensor([len(row) - 1 for row in ids])])

    def probe(self) -> torch.Tensor:
        """What the model makes of :data:`PROBE` without adapters, scaled to unit length: float32 [hidden]."""
        import torch

        with torch.no_grad(), self.model.disable_adapter():
            state = self.states([self.renderer.encode(PROBE)])[0].float()
        return torch.nn.functional.normalize(state, dim=0)


def adapted(model: Any, tokenizer: Any, rank: int) -> GateReader:
    """New adapters in ``model`` (which is changed) for its query and value projections, and a head of zeros.

    Raises:
        MissingExtra: If ``peft`` is not installed.
    """
    import torch

    peft = require_peft()
    config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["q_proj", "v_proj"], lora_dropout=0.0)
    with _without_its_warnings():
        wrapped = peft.get_peft_model(model, config)
    hidden = int(model.config.get_text_config().hidden_size)
    weight = torch.zeros(hidden, device=model.device, requires_grad=True)
    return GateReader(wrapped, Renderer(tokenizer), weight, torch.zeros((), device=model.device, requires_grad=True))


def save_lora(folder: Path, reader: GateReader, calibration: Calibration, about: Mapping[str, Any]) -> None:
    """Write adapters, head and facts into a folder; the facts come last and make it whole.

    Raises:
        OSError: If the folder cannot be written.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / FACTS).unlink(missing_ok=True)
    for config in reader.model.peft_config.values():
        config.base_model_name_or_path = str(about.get("scorer", ""))
    reader.model.save_pretrained(str(folder), save_embedding_layers=False)  # else it asks the hub for the base
    (folder / "README.md").unlink(missing_ok=True)  # a form for the hub that nobody has filled in
    tensors = {"weight": reader.weight, "bias": reader.bias.reshape(1), "probe": reader.probe()}
    with writing(folder / HEAD) as beside:
        save_file({name: tensor.detach().float().cpu().contiguous() for name, tensor in tensors.items()}, beside)
    share(folder / _WEIGHTS)
    facts = {
        "version": VERSION,
        "calibration": calibration.model_dump(),
        "about": dict(about),
        "sha256": {name: hash_file(folder / name) for name in _FILES},
    }
    with writing(folder / FACTS) as beside:
        beside.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def open_lora(folder: Path, scorer: LanguageModel) -> LoraGate:
    """The trained gate of a folder on a copy of the scorer.

    Raises:
        InputError: If the folder holds none, or the scorer is not the model that it was trained on.
        MissingExtra: If ``peft`` is not installed.
        ModelError: If it is damaged.
    """
    from rereader.models.local import LocalModel

    facts, calibration = _facts(folder)
    if not isinstance(scorer, LocalModel):
        msg = f"The trained gate {folder.name} needs a scorer that transformers runs; {scorer.name} is none."
        raise InputError(msg, _HINT)
    peft = require_peft()
    from safetensors.torch import load_file

    base = scorer.copy_model()
    head = load_file(folder / HEAD, device=str(base.device))
    if head["weight"].shape[0] != base.config.get_text_config().hidden_size:
        raise _another(folder, facts, scorer)
    try:
        with _without_its_warnings():
            model = peft.PeftModel.from_pretrained(base, str(folder)).eval()
    except (RuntimeError, ValueError, KeyError) as error:
        raise _another(folder, facts, scorer) from error
    reader = GateReader(model, Renderer(scorer.tokenizer), head["weight"], head["bias"][0])
    if not float(reader.probe() @ head["probe"]) >= _SAME:
        raise _another(folder, facts, scorer)
    deciding = [facts["sha256"], calibration.model_dump(), scorer.fingerprint]
    digest = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()
    return LoraGate(reader, calibration, name=f"{scorer.name}+{folder.name}", fingerprint=digest, like=scorer)


def _facts(folder: Path) -> tuple[dict[str, Any], Calibration]:
    path = folder / FACTS
    if not path.is_file():
        raise InputError(f"There is no trained gate in {folder}.", f"Make one with: {_AGAIN} --out DIR")
    damaged = ModelError(f"The trained gate {folder.name} is damaged.", f"Train it again: {_AGAIN}")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["version"] != VERSION:
            msg = f"The trained gate {folder.name} was made for another version of Rereader."
            raise InputError(msg, f"Train it again: {_AGAIN}")
        if any(hash_file(folder / name) != facts["sha256"][name] for name in _FILES):
            raise damaged
        return facts, Calibration.model_validate(facts["calibration"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise damaged from error


def _another(folder: Path, facts: Mapping[str, Any], scorer: LanguageModel) -> InputError:
    base = facts.get("about", {}).get("scorer", "another model")
    return InputError(f"The trained gate {folder.name} was made on {base}, not on {scorer.name}.", _HINT)


class LoraGate(LanguageModel):
    """What reads gate prompts, as a language model that can only choose between two replies.

    Args:
        reader: Adapters and head.
        calibration: What the head's scores mean.
        name: Name shown to the user.
        fingerprint: Identifies adapters, head and scorer.
        like: The scorer, whose window and device it has.
    """

    def __init__(
        self, reader: GateReader, calibration: Calibration, *, name: str, fingerprint: str, like: LanguageModel
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.context_window = like.context_window
        self.device = like.device
        self.capabilities = Capabilities(generate=False, stream=False, choose=True, likelihood=False)
        self.calibration = calibration
        self._reader = reader
        self._lock = threading.Lock()

    def choose(
        self,
        prompts: Sequence[Prompt],
        options: Sequence[str],
        null: Prompt | None = None,
        cancel: Cancel | None = None,
    ) -> Float32Array:
        """Log-probability that a memory helps, and that it does not: float32 [n, 2]; what is not asked is not read.

        Raises:
            InputError: If there are not two options, or a prompt does not fit the window.
            Interrupted: If ``cancel`` is set between two batches.
            ModelError: If a score is not a number, or memory runs out.
        """
        if len(options) != 2 or null is not None:
            raise InputError("A trained gate chooses between two replies, and is calibrated already.")
        rows = [self._reader.renderer.render(prompt).ids for prompt in prompts]
        if any(len(row) > self.context_window for row in rows):
            raise InputError(f"A gate prompt does not fit into the window of {self.name}.", "Shorten the question.")
        with self._lock:
            raw = self._reader.raw(rows, cancel)
        odds = self.calibration.log_odds(raw)
        return np.stack([-np.logaddexp(0.0, -odds), -np.logaddexp(0.0, odds)], axis=1).astype(np.float32)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text on its own."""
        return self._reader.renderer.count(texts)

    def prompt_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Tokens of each rendered prompt."""
        return [len(self._reader.renderer.render(prompt).ids) for prompt in prompts]

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, cancel: Cancel | None = None) -> list[Generation]:
        """Refused: see :meth:`choose`."""
        raise self._only_chooses()

    def stream(self, prompt: Prompt, sampling: Sampling, cancel: Cancel | None = None) -> Iterator[str]:
        """Refused: see :meth:`choose`."""
        raise self._only_chooses()

    def log_likelihood(
        self, prompts: Sequence[Prompt], continuations: Sequence[str], cancel: Cancel | None = None
    ) -> Float32Array:
        """Refused: see :meth:`choose`."""
        raise self._only_chooses()

    def _only_chooses(self) -> ModelError:
        return ModelError(f"{self.name} is a gate: it writes nothing.", "Name a language model for this role.")
