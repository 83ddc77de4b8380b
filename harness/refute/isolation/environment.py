"""Environments without the variables that bring code into a process."""

from __future__ import annotations

from collections.abc import Mapping

# Variables by which code gets into a Python process, or into any process, before or instead of what was installed.
_PREFIXES = ("PYTHON", "PYTEST_", "LD_", "DYLD_", "COVERAGE_", "COV_CORE_")
_NAMES = frozenset({"GCONV_PATH", "GLIBC_TUNABLES", "OPENSSL_CONF", "OPENSSL_ENGINES", "OPENSSL_MODULES"})
_OWN = "REFUTE_"


def brings_code(name: str) -> bool:
    """Whether the variable `name` may bring code into a process."""
    return name.startswith(_PREFIXES) or name in _NAMES


def clean_environment(environment: Mapping[str, str], *, own: bool = True) -> dict[str, str]:
    """`environment` without the variables that bring code into a process; without refute's own, too, unless `own`."""
    return {
        name: value
        for name, value in environment.items()
        if not brings_code(name) and (own or not name.startswith(_OWN))
    }
