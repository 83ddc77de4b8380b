"""JSON Schemas of the files that people write, and of what is signed.

Use: python -m refute.check.schemas FOLDER
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path

from pydantic import BaseModel

from refute.check.contracts.model import Contract
from refute.disk import write_whole
from refute.errors import UsageError
from refute.judge.predicate.model import Predicate
from refute.lock.model import Lock
from refute.spec.criteria import Spec
from refute.spec.policy import Policy
from refute.spec.release import Release
from refute.spec.waiver import Waivers
from refute.verify.challenge.statement import Challenge
from refute.verify.consumer.statement import Consumption
from refute.verify.sign_off.statement import SignOff

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_MODELS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("challenge.schema.json", "refute challenge", Challenge),
    ("consumer.schema.json", "refute consumer's statement", Consumption),
    ("contract.schema.json", "refute contract", Contract),
    ("lock.schema.json", "refute lock predicate", Lock),
    ("policy.schema.json", "refute policy", Policy),
    ("release.schema.json", "refute release", Release),
    ("sign-off.schema.json", "refute sign-off", SignOff),
    ("spec.schema.json", "refute spec", Spec),
    ("verdict.schema.json", "refute verdict predicate v1", Predicate),
    ("waivers.schema.json", "refute waivers", Waivers),
)


def schemas() -> dict[str, str]:
    """The text of every schema by file name; the same code gives the same bytes.

    A schema cannot express everything that loading checks (unique ids, dependent keys, units).
    """
    return {file: _schema(title, model) for file, title, model in _MODELS}


def write_schemas(folder: Path) -> None:
    """Write every schema into `folder`, made if need be; each file is replaced whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        write_whole(folder / name, text.encode("utf-8"))


@functools.cache  # some half a second for all of them
def _schema(title: str, model: type[BaseModel]) -> str:
    body = model.model_json_schema(by_alias=True)
    content = {"$schema": DIALECT, **body, "title": title}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _main(arguments: list[str]) -> None:
    if len(arguments) != 1:
        raise UsageError("expected one argument, the folder: python -m refute.check.schemas contracts/schema")
    write_schemas(Path(arguments[0]))


if __name__ == "__main__":
    _main(sys.argv[1:])
