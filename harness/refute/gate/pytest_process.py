"""The process of pytest, as `refute gate` starts it: with no more of the machine than it needs, for it runs code of the
judged repository, and nothing that it starts outlives it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from refute.attest.keys import private_keys
from refute.attest.passphrase import VARIABLE as PASSPHRASE
from refute.errors import UsageError
from refute.evidence.downloads import needs_network
from refute.evidence.store.opening import is_url
from refute.gate.judging import JudgeOptions
from refute.gate.own_run import OwnRun
from refute.isolation.command import installed_places
from refute.isolation.containment import Containment, View, contain
from refute.isolation.orphans import ending_orphans
from refute.spec.folders import CONTRACTS, FALSIFIERS, SPECS, cache_folder

# The judge's summary says all that pytest's own failure report would, in better order.
_QUIET = ("--no-header", "--tb=no", "-q", "-rN")

# As `-m pytest`, but a Ctrl-C while it loads its plugins is no traceback. It imports nothing of ours: pytest is first.
_PYTEST = """\
import signal, sys
sys.argv[0] = "pytest"
try:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    import pytest
    sys.exit(pytest.main())
except KeyboardInterrupt:
    sys.exit(130)
"""

# The status that a shell gives a process that signal n ended is this and n.
SIGNALLED = 128

# Where libraries keep what they make and fetch.
_CACHES = ("XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "TORCH_HOME", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")


@dataclass(frozen=True, slots=True)
class Access:
    """What an operator lets pytest reach, beside what a gate needs: the network, and folders to write."""

    network: bool = False
    writable: Sequence[Path] = ()


def run_pytest(own: OwnRun, arguments: Sequence[str], options: JudgeOptions, access: Access) -> tuple[int, Containment]:
    """Its status, and how it was contained.

    It has no passphrase of the key, and what this gate decides comes after what anybody else asks.
    """
    # -P: like the `pytest` script, and unlike `-m` alone, this does not import from the working folder.
    # -p: also where plugins are not loaded by themselves ($PYTEST_DISABLE_PLUGIN_AUTOLOAD).
    command = [sys.executable, "-P", "-c", _PYTEST, "-p", "refute", "--falsifiers", *_QUIET, *arguments]
    command += ["--no-judge", f"--refute-dir={options.refute_dir}", f"--refute-run={own.folder.path}"]
    command += [f"--release={own.release.path.resolve()}", *(f"--lock-key={path}" for path in options.lock_keys)]
    secretless = {name: text for name, text in os.environ.items() if name != PASSPHRASE}
    contained = contain(_view(own, arguments, options, access))
    with ending_orphans():
        # bubblewrap would end at a Ctrl-C, and pytest with it, unheard.
        with _interrupts_later():
            process = subprocess.Popen([*contained.wrapper, *command], env=secretless)  # noqa: S603  # our interpreter
        return wait_for(process), contained.tier


def wait_for(process: subprocess.Popen[bytes]) -> int:
    """Wait through Ctrl-C, which the child got too: it ends by itself, with its own status as a shell gives it.

    Where the child does not heed it, `heard` still knows of it.
    """
    while True:
        try:
            status = process.wait()
            return SIGNALLED - status if status < 0 else status
        except KeyboardInterrupt:
            continue


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """What is started inside begins with Ctrl-C blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _view(own: OwnRun, arguments: Sequence[str], options: JudgeOptions, access: Access) -> View:
    """Of the machine, as pytest needs it: what decides about a verdict can be read there, and not written."""
    here, release, store = Path.cwd(), own.release, _store(arguments)
    network = access.network or is_url(store) or bool(needs_network(release.release, release.path.parent))
    folders = (here, *_made((options.refute_dir, *access.writable, *_stores(store), *_downloads())), *_caches())
    rules = [here / name for name in (SPECS, FALSIFIERS, CONTRACTS, ".git")]
    rules += [release.path, *options.specs, *options.lock_keys, *filter(None, (options.policy, options.waivers))]
    keys = (*private_keys(), *filter(None, (options.key,)))
    return View(folders, (*rules, *_importable(here), *_made_interpreters()), keys, network)


def _store(arguments: Sequence[str]) -> str:
    """The store that pytest is told of; empty for the one of its own."""
    words = [word for argument in arguments for word in argument.split("=", 1)]
    return next((value for name, value in pairwise(words) if name == "--store"), "")


def _stores(named: str) -> Iterator[Path]:
    if named and not is_url(named):
        yield Path(os.path.expanduser(named))  # noqa: PTH111  # pathlib's raises without a home


def _downloads() -> Iterator[Path]:
    with suppress(UsageError):  # whoever has no home folder has no cache, and whoever needs one says so
        yield cache_folder()


def _made(folders: Iterable[Path]) -> Iterator[Path]:
    """Folders that pytest would make, were it let write above them."""
    for folder in folders:
        with suppress(OSError):  # then whoever needs it says so
            folder.mkdir(parents=True, exist_ok=True)
        yield folder


def _caches() -> Iterator[Path]:
    yield from (Path(folder) for name in _CACHES if (folder := os.environ.get(name)))
    yield from (Path.home() / name for name in (".cache", ".triton") if "HOME" in os.environ)


def _importable(here: Path) -> Iterator[Path]:
    """What the process that measures again may import beside libraries: packages that are installed editable."""
    for folder in map(Path, installed_places().others):
        if folder != here.resolve():
            yield folder
        else:
            yield from (each for each in here.iterdir() if each.suffix == ".py" or (each / "__init__.py").is_file())


def _made_interpreters() -> Iterator[Path]:
    """Environments that an earlier run made, and later ones execute."""
    yield from (complete.parent for folder in _downloads() for complete in folder.glob("*/complete"))
