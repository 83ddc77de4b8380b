"""The licences that the hub has ids for, and what SPDX calls them (License List 3.27); empty where SPDX has none.

Source: huggingface/hub-docs, docs/hub/repositories-licenses.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from refute.errors import UsageError

# Those whose SPDX id is the hub's in other letters.
_SAME = (
    *("Apache-2.0", "MIT", "AFL-3.0", "Artistic-2.0", "BSL-1.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear"),
    *("C-UDA-1.0", "CC0-1.0", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0"),
    *("CC-BY-NC-2.0", "CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-ND-4.0", "CC-BY-NC-ND-3.0", "CC-BY-NC-ND-4.0"),
    *("CC-BY-NC-SA-2.0", "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0", "CDLA-Sharing-1.0", "CDLA-Permissive-1.0"),
    *("CDLA-Permissive-2.0", "WTFPL", "ECL-2.0", "EPL-1.0", "EPL-2.0", "etalab-2.0", "EUPL-1.1", "EUPL-1.2", "ISC"),
    *("LPPL-1.3c", "MS-PL", "MPL-2.0", "OSL-3.0", "PostgreSQL", "OFL-1.1", "NCSA", "Unlicense", "Zlib"),
)
_OTHERWISE = {
    "agpl-3.0": "AGPL-3.0-only",
    "gfdl": "GFDL-1.3-only",
    "gpl-2.0": "GPL-2.0-only",
    "gpl-3.0": "GPL-3.0-only",
    "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-3.0": "LGPL-3.0-only",
    "lgpl-lr": "LGPLLR",
    "odc-by": "ODC-By-1.0",
    "odbl": "ODbL-1.0",
    "pddl": "PDDL-1.0",
}
_NONE = (
    *("openrail", "openrail++", "bigscience-openrail-m", "creativeml-openrail-m", "bigscience-bloom-rail-1.0"),
    *("bigcode-openrail-m", "h-research", "intel-research", "apple-ascl", "apple-amlr", "openmdw-1.0", "gemma"),
    *("deepfloyd-if-license", "fair-noncommercial-research-license", "llama2", "llama3", "llama3.1", "llama3.2"),
    *("llama3.3", "llama4", "grok2-community"),
)
LICENCES: Final[Mapping[str, str]] = MappingProxyType(
    {each.lower(): each for each in _SAME if each != "C-UDA-1.0"}
    | {"c-uda": "C-UDA-1.0"}
    | _OTHERWISE
    | dict.fromkeys(_NONE, "")
)
# The hub takes them, and nobody learns from them what may be done.
_SAY_NOTHING = ("unknown", "other", "bsd", "cc", "gpl", "lgpl")


def require_licence(hub_id: str, of: str) -> None:
    """Raises UsageError unless the hub has that id and it names one licence."""
    if hub_id in LICENCES:
        return
    why = "names no licence" if hub_id in _SAY_NOTHING else "is no id of the hub"
    raise UsageError(
        f"publication.{of}: {hub_id!r} {why}",
        hint="write the hub's id of the licence, such as apache-2.0 or cc-by-4.0",
    )


def spdx_licence(hub_id: str) -> dict[str, dict[str, str]]:
    """As CycloneDX has it: by SPDX id, or by name where SPDX knows none."""
    spdx = LICENCES[hub_id]
    return {"license": {"id": spdx} if spdx else {"name": f"LicenseRef-{hub_id}"}}
