"""How the judge is started: an interpreter of its own that nothing of the judged repository, or its shell, has touched.

Not protected: the environment in which refute is installed (its site-packages, `.pth` files there, the interpreter).
Who can write there can change refute itself.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Variables by which code gets into a Python process, or into any process, before or instead of what was installed.
_PREFIXES = ("PYTHON", "PYTEST_", "LD_", "DYLD_", "COVERAGE_", "COV_CORE_")


_NAMES = frozenset({"GCONV_PATH", "GLIBC_TUNABLES", "OPENSSL_CONF", "OPENSSL_ENGINES", "OPENSSL_MODULES"})


_OWN = "REFUTE_"


# The folder of the refute that is running comes first, where the interpreter would not find it by itself.
_START = (
    "import runpy, sys; root, module = sys.argv.pop(1), sys.argv.pop(1);"
    " sys.path[:0] = [] if root in sys.path else [root];"
    " runpy.run_module(module, run_name='__main__', alter_sys=True)"
)


def isolated_command(module: str, *arguments: str) -> list[str]:
    """The command that runs `module` of this refute isolated.

    -I: no PYTHON* variable counts, no user site-packages, and neither the working folder nor a script's is searched.
    """
    root = str(Path(__file__).resolve().parents[3])
    return [sys.executable, "-I", "-X", "utf8", "-c", _START, root, module, *arguments]


def judge_command(
    run: Path, refute_dir: Path, key: Path | None, lock_keys: Sequence[Path] = (), *, answer_fd: int
) -> list[str]:
    """The command that judges `run` isolated, signing with `key` or the development key; `lock_keys` may sign locks.

    What it signed it says on the descriptor `answer_fd`, which it must inherit (judge/answer.py).
    """
    signing = [] if key is None else ["--key", str(key)]
    locking = [word for path in lock_keys for word in ("--lock-key", str(path))]
    answering = ["--answer-fd", str(answer_fd)]
    return isolated_command(
        "refute", "judge", str(run), "--refute-dir", str(refute_dir), *signing, *locking, *answering
    )


def clean_environment(environment: Mapping[str, str], *, own: bool = True) -> dict[str, str]:
    """`environment` without the variables that bring code into a process; without refute's own, too, unless `own`."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(_PREFIXES) and name not in _NAMES and (own or not name.startswith(_OWN))
    }
