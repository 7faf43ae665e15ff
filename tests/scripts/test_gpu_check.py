"""``scripts/gpu_check``: a clean skip without a GPU, and the whole way through on a CPU with tiny shapes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[2]


def check(*arguments):
    command = [sys.executable, "scripts/gpu_check", *map(str, arguments)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)


def test_without_a_gpu_it_says_so_in_one_line(tmp_path):
    done = check("--out", tmp_path / "gpu.jsonl", "--end-to-end")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "gpu_check: there is no CUDA device, nothing was checked\n"
    assert not (tmp_path / "gpu.jsonl").exists()


def test_the_same_code_runs_on_a_cpu_with_tiny_shapes(tmp_path):
    out = tmp_path / "gpu.jsonl"
    done = check("--device", "cpu", "--tiny", "--end-to-end", "--out", out)
    assert done.returncode == 0, done.stderr
    [row] = [json.loads(line) for line in out.read_text().splitlines()]
    assert (row["card"], row["shapes"], row["tests_exit_code"]) == ("CPU", "tiny", None)
    assert row["matmul_operations_per_second"] > 0 and row["copy_bytes_per_second"] > 0
    assert row["prefill"]["tokens_in_per_second"] > 0 and row["prefill"]["share_of_matmul"] > 0
    assert row["gisting"]["tokens_out_per_second"] > 0 and row["gisting"]["share_of_ceiling"] > 0
    assert row["peak_bytes"] > 0 and len(row["goals"]) == 2
    assert row["end_to_end"]["devices"] == ["cpu"]
    assert row["end_to_end"]["usage"]["calls"] > 5
    assert "prefill of" in done.stdout


def test_operations_are_counted_as_by_hand():
    from transformers import Qwen3Config

    from rereader.models.ceilings import QWEN3_4B, TINY, reading_operations

    tiny = Qwen3Config(**TINY.config)
    layer = 32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 64  # query, keys and values, output, the three of the MLP
    assert reading_operations(tiny, 10) == 2 * (2 * layer * 10 + 2 * 32 * 10**2)
    large = reading_operations(Qwen3Config(**QWEN3_4B.config), 1) / 2
    assert large == pytest.approx(3.6e9, rel=0.05)  # what the model card counts without embeddings
