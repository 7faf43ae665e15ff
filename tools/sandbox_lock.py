"""Locks a process in: limits, an empty network, no files, no system calls but those of computing, an audit hook.

Runs inside the sandbox's process and imports nothing of ours. What the kernel does not know is left out and not named
among the layers that are told to the parent.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_NO_NEW_PRIVS, _SECCOMP, _FILTER = 38, 22, 2
_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # Landlock; the same on every architecture
_FILES, _READING = (1 << 13) - 1, 0b1100  # what Landlock's first version knows; reading a file and a folder
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CALLS = {
    # read write close fstat lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn sched_yield mremap
    # madvise nanosleep exit gettimeofday sigaltstack futex restart_syscall clock_gettime clock_nanosleep exit_group
    # getrandom rseq
    "x86_64": (
        0,
        1,
        3,
        5,
        8,
        9,
        10,
        11,
        12,
        13,
        14,
        15,
        24,
        25,
        28,
        35,
        60,
        96,
        131,
        202,
        219,
        228,
        230,
        231,
        318,
        334,
    ),
    "aarch64": (
        *(63, 64, 57, 80, 62, 222, 226, 215, 214, 134, 135, 139, 124, 216),
        *(233, 101, 93, 169, 132, 98, 128, 113, 115, 94, 278, 293),
    ),
}


def lock(memory: int, seconds: int) -> list[str]:
    """Give up, for good, all that computing does not need; returns the names of the layers that hold.

    Args:
        memory: Most bytes of address space.
        seconds: Most seconds of processor time.
    """
    layers = []
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        layers += ["network"] if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0 else []
        may_lock = libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        layers += ["landlock"] if may_lock and _landlock(libc) else []
        layers += _limits(memory, seconds)
        layers += ["seccomp"] if may_lock and _seccomp(libc) else []
    else:
        layers += _limits(memory, seconds)
    return layers


def lock_writing() -> list[str]:
    """Give up, for good, to write, make and remove files, to start programs and to reach a network.

    Files may still be read, as fonts are. Returns the names of the layers that hold; none but on Linux.
    """
    if sys.platform != "linux":
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    layers = ["network"] if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0 else []
    may_lock = libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    return [*layers, *(["landlock"] if may_lock and _landlock(libc, _FILES & ~_READING) else [])]


def _limits(memory: int, seconds: int) -> list[str]:
    wanted = {"AS": memory, "CPU": seconds, "FSIZE": 0, "NOFILE": 3, "NPROC": 0, "CORE": 0}
    for name, most in wanted.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):  # macOS does not limit address space
            if name != "AS":
                raise
    return ["limits"]


def _landlock(libc: ctypes.CDLL, files: int = _FILES) -> bool:
    """Deny these ways to a file, every connection, and signals to others: a ruleset that allows nothing."""
    version = libc.syscall(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    for since, right in ((2, 13), (3, 14), (5, 15)):
        files |= (1 << right) if version >= since else 0
    fields = [files, *([3] if version >= 4 else []), *([3] if version >= 6 else [])]
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    rules = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if rules < 0:
        return False
    done = libc.syscall(_RESTRICT_SELF, rules, 0) == 0
    os.close(rules)
    return bool(done)


def _seccomp(libc: ctypes.CDLL) -> bool:
    """Let the kernel refuse every system call but those of computing and of talking over open pipes."""
    machine = platform.machine()
    if machine not in _CALLS or struct.calcsize("P") != 8:
        return False
    load, equal, give = 0x20, 0x15, 0x06
    program = [(load, 0, 0, 4), (equal, 1, 0, _ARCHITECTURES[machine]), (give, 0, 0, 0x80000000), (load, 0, 0, 0)]
    for call in _CALLS[machine]:
        program += [(equal, 0, 1, call), (give, 0, 0, 0x7FFF0000)]
    program.append((give, 0, 0, 0x00050001))  # EPERM
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    header = struct.pack("@HP", len(program), ctypes.addressof(code))
    return bool(libc.prctl(_SECCOMP, _FILTER, header, 0, 0) == 0)


class Gate:
    """An audit hook that refuses every audited event, but to those that it is opened for at the moment."""

    def __init__(self) -> None:
        self._open: set[str] = set()

    def shut(self) -> None:
        """From now on refuse; cannot be undone."""
        opened = self._open

        def refuse(event: str, _arguments: tuple[object, ...]) -> None:
            if event not in opened:
                raise PermissionError(f"{event} is not allowed here")
            if event == "exec":  # from here on it is the block that acts
                opened.clear()

        sys.addaudithook(refuse)

    @contextmanager
    def opened(self, *events: str) -> Iterator[None]:
        """Let events pass meanwhile; all of them only until a block is begun."""
        self._open.update(events)
        try:
            yield
        finally:
            self._open.clear()
