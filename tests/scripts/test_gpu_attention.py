"""``scripts/gpu_attention``: a clean skip without a GPU, and the whole way through on a CPU with tiny shapes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[2]


def measure(*arguments):
    command = [sys.executable, "scripts/gpu_attention", *map(str, arguments)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)


def test_without_a_gpu_it_says_so_in_one_line(tmp_path):
    done = measure("--out", tmp_path / "gpu.jsonl", "--end-to-end")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "gpu_attention: there is no CUDA device, nothing was measured\n"
    assert not (tmp_path / "gpu.jsonl").exists()


def test_the_same_code_runs_on_a_cpu_with_tiny_shapes(tmp_path):
    out = tmp_path / "gpu.jsonl"
    done = measure("--device", "cpu", "--tiny", "--tokens", 128, 256, "--out", out)
    assert done.returncode == 0, done.stderr
    [row] = [json.loads(line) for line in out.read_text().splitlines()]
    assert (row["card"], row["shapes"]) == ("CPU", "tiny")
    assert [one["tokens"] for one in row["lengths"]] == [128, 256]
    for one in row["lengths"]:
        assert one["prefill_tokens_per_second"] > 0 and one["peak_bytes"] > 0
        assert set(one["ratios"]) == {"cold", "warm"} and min(one["ratios"].values()) > 0
    assert "128 tokens: " in done.stdout
