"""Names that the gate's hooks and its session share: where the session is kept, and settings of pytest's."""

from __future__ import annotations

from typing import Any

import pytest

# A GateSession, which is too heavy to import where there is none; `session_of` in gate/session.py returns it as such.
SESSION = pytest.StashKey[Any]()
FALSIFIER_PATHS = "falsifier_paths"
SPEC_PATHS = "falsifier_specs"

# A shell's status for what Ctrl-C ended.
INTERRUPTED = 130

# How pytest ends with --no-judge; its own statuses end at 5. Not 0: whoever adds that option to a gate from outside
# must not turn it into a success.
NOT_JUDGED = 6
