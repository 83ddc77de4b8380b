"""Which module is covered by which contract, written into a page.

Use: python -m refute.check.contracts.coverage_table FOLDER PAGE
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from refute.check.contracts.check import opened_contracts
from refute.check.contracts.model import Contract
from refute.check.contracts.references import Executable
from refute.check.contracts.rewrite import Rewrite
from refute.errors import SpecError, UsageError
from refute.evidence.reach import module_file

BEGIN, END = "<!-- coverage: generated -->", "<!-- end of coverage -->"
_SHOWN, _NAMED = "●", "○"


def coverage_table(folder: Path) -> str:
    """Markdown: a row a module, the contracts that cover it, and how many of their mutants change it.

    Below it, every module of the packages below the first level that no contract covers. Raises SpecError for
    contracts that are not in order.
    """
    with opened_contracts([folder]) as checked:
        if checked.problems:
            raise SpecError(checked.problems)
        mutants = _mutants(checked.executables)
        contracts = [loaded.contract for loaded in checked.contracts]
    modules = sorted({module for contract in contracts for module in contract.modules})
    bare = [module for module in _siblings(modules) if module not in modules]
    return "\n".join(
        [
            f"{len(contracts)} contracts, {sum(len(each.properties) for each in contracts)} properties, "
            f"{len({mutant for found in mutants.values() for mutant in found})} mutants of {len(modules)} modules.",
            "",
            "| module | contracts | mutants killed in it |",
            "|---|---|---|",
            *(_row(module, contracts, mutants) for module in modules),
            "",
            f"Beside them, no contract covers: {', '.join(f'`{module}`' for module in bare)}.",
        ]
    )


def _row(module: str, contracts: Sequence[Contract], mutants: Mapping[tuple[str, str], set[str]]) -> str:
    covering = [contract.contract for contract in contracts if module in contract.modules]
    cells = [f"{_SHOWN if (name, module) in mutants else _NAMED} {name}" for name in covering]
    count = len({mutant for key in mutants for mutant in mutants[key] if key[1] == module})
    return f"| `{module}` | {', '.join(cells)} | {count or ''} |"


def _mutants(executables: Sequence[Executable]) -> dict[tuple[str, str], set[str]]:
    """References of rewritten functions by contract and module."""
    found: dict[tuple[str, str], set[str]] = {}
    for executable in executables:
        for reference, mutant in executable.mutants.items():
            if isinstance(mutant, Rewrite):
                key = (executable.loaded.contract.contract, mutant.module)
                found.setdefault(key, set()).add(reference)
    return found


def _siblings(modules: Iterable[str]) -> list[str]:
    """Every module beside one of `modules` in a package below the first level, whose modules have one topic."""
    found: set[str] = set()
    for package in {module.rpartition(".")[0] for module in modules if module.count(".") > 1}:
        init = module_file(package)
        if init is not None:
            found |= {f"{package}.{path.stem}" for path in init.parent.glob("*.py") if not path.stem.startswith("_")}
    return sorted(found)


def with_coverage(page: str, table: str) -> str:
    """`page` with what stands between its two marks replaced. Raises UsageError without them."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise UsageError(f"the page lacks its marks, {BEGIN} and {END}", hint="put them where the table belongs")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.partition(END)[2]}"


def _main(arguments: list[str]) -> None:
    if len(arguments) != 2:
        raise UsageError(
            "expected two arguments: python -m refute.check.contracts.coverage_table contracts docs/contracts.md"
        )
    folder, page = map(Path, arguments)
    page.write_text(with_coverage(page.read_text(encoding="utf-8"), coverage_table(folder)), encoding="utf-8")


if __name__ == "__main__":
    _main(sys.argv[1:])
