"""Names that the gate's hooks and its session share: where the session is kept, and settings of pytest's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from refute.gate.session import GateSession

SESSION: pytest.StashKey[GateSession] = pytest.StashKey()
FALSIFIER_PATHS = "falsifier_paths"
SPEC_PATHS = "falsifier_specs"
