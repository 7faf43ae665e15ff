"""Seeds of sampled replies."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence


def prompt_seed(seed: int, ids: Sequence[int]) -> int:
    """A seed that depends on the caller's seed and the prompt, not on its place in a batch."""
    digest = hashlib.sha256(struct.pack(f"<q{len(ids)}q", seed, *ids)).digest()
    return int.from_bytes(digest[:8], "little") >> 1
