"""Whether what an experiment's process was is what its key says, when it has run and before it is taken as cached."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points

from pydantic import ValidationError

from refute.disk import file_sha256
from refute.errors import ExperimentError
from refute.evidence.manifest import Ran, manifest_digest
from refute.evidence.process.environment import numeric_variables
from refute.evidence.process.installed import content_of
from refute.evidence.reach import module_file, source_digests
from refute.falsifier.loading import GROUP
from refute.falsifier.own_folder import USER_MODULES
from refute.spec.fields import Closed, Sha256

_NAMED = 3


class MadeBy(Closed):
    """What made a piece of evidence, as a verdict repeats it.

    `modules` is the digest of the sources that no distribution lists, `distributions` that of the others, `variables`
    are those that can change a number. `strangers` are modules that came neither from the installation nor from refute.
    """

    modules: Sha256
    distributions: Sha256
    variables: dict[str, str]
    strangers: tuple[str, ...] = ()


def read_ran(said: object, entry: str) -> Ran:
    """What a process that ran `entry` said of itself.

    Raises ExperimentError where it said nothing of the kind, or ran with other sources or variables than its key has.
    """
    try:
        found = Ran.model_validate(said, strict=False)
    except ValidationError as error:
        raise ExperimentError(f"the process of {entry} did not say what it had loaded: {error}") from error
    # Modules of a folder of falsifiers have names of this run; the experiment that loads them compares their code.
    own = {name: digest for name, digest in found.modules.items() if not name.startswith(USER_MODULES)}
    found = Ran(
        modules=own,
        outside=tuple(name for name in found.outside if name in own),
        distributions=found.distributions,
        variables=found.variables,
    )
    if faults := list(_unlike_the_key(found, entry)):
        raise ExperimentError(
            f"what ran is not what the evidence key of {entry} covers: {_some(faults)}",
            hint="files of refute or variables changed while the run was under way: run it again",
        )
    return found


def outdated(ran: Ran, entry: str) -> bool:
    """Whether the code that made evidence of `entry` is not the code that would make it now.

    Its key does not cover everything that it says, such as a distribution that some library imports.
    """
    known = source_digests(entry)
    modules = any((known.get(name) or _digest(name)) != digest for name, digest in ran.modules.items())
    return modules or any(_content(name) != content for name, content in ran.distributions.items())


def made_by(ran: Ran) -> MadeBy:
    """What a verdict repeats of `ran`."""
    packs = {point.module.partition(".")[0] for point in entry_points(group=GROUP)}
    known = {"refute", *packs}
    return MadeBy(
        modules=manifest_digest(ran.modules),
        distributions=manifest_digest(ran.distributions),
        variables=ran.variables,
        strangers=tuple(name for name in ran.outside if name.partition(".")[0] not in known),
    )


def made_by_strangers(evidence: Mapping[str, MadeBy]) -> tuple[str, ...]:
    """A sentence for each piece of `evidence` that other code had a hand in than what is installed, by name."""
    return tuple(
        f"evidence {name!r} was made with modules from outside the installation: {_some(list(found.strangers))}"
        for name, found in sorted(evidence.items())
        if found.strangers
    )


def _unlike_the_key(ran: Ran, entry: str) -> Iterator[str]:
    known = source_digests(entry)
    yield from (name for name, digest in ran.modules.items() if known.get(name, digest) != digest)
    there, here = ran.variables, numeric_variables(os.environ)
    yield from (f"${name}" for name in sorted({*there, *here}) if there.get(name) != here.get(name))


_content = cache(content_of)


@cache
def _digest(module: str) -> str:
    path = module_file(module)
    return "absent" if path is None else file_sha256(path)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
