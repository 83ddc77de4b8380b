"""The faults that a push and a pull are rehearsed with, and how the call after each must end."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from refute.engines.publish.rehearsal.faults import ALWAYS, Fault
from refute.spec.experiments.evidence.publication import PushEnding

# After the second call everything is published once, where the hub did not keep what was false.
PUSH_FAULTS: Mapping[Fault, PushEnding] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                Fault("create", "status", 503),
                Fault("create", "apply_drop"),
                Fault("refs", "drop", times=2),
                Fault("commits", "status", 502),
                Fault("tree", "status", 500),
                Fault("branch", "status", 500),
                Fault("branch", "apply_drop"),
                Fault("validate", "status", 429),
                Fault("preupload", "drop"),
                Fault("batch", "status", 429, header=("RateLimit", '"api";r=0;t=0')),
                Fault("put", "status", 500),
                Fault("put", "status", 403),
                Fault("put", "drop"),
                Fault("put", "truncate"),
                Fault("lfs_verify", "status", 404),
                Fault("commit", "status", 500),
                Fault("commit", "status", 412),
                Fault("commit", "status", 503, times=ALWAYS),
                Fault("commit", "apply_drop"),
                Fault("commit", "apply_status", 500),
                Fault("commit", "intrude"),
                Fault("commit", "lose"),
                Fault("lfs_get", "status", 503),
                Fault("lfs_get", "truncate"),
                Fault("lfs_get", "corrupt"),
                Fault("file", "corrupt", times=ALWAYS),
                Fault("tag", "status", 503),
                Fault("tag", "apply_drop"),
                Fault("tag", "status", 403, times=ALWAYS),
                # The second commit is main's.
                Fault("commit", "apply_drop", skip=1),
                Fault("commit", "status", 403, times=ALWAYS, skip=1),
            ),
            "published",
        ),
        Fault("put", "corrupt"): "untrusted",
        Fault("commit", "intrude", skip=1): "refused",
    }
)
# As many bytes as were asked for, and another one among them; what is cut off is asked for again.
PULL_FAULTS = (Fault("lfs_get", "corrupt"), Fault("file", "corrupt", times=ALWAYS), Fault("lfs_get", "truncate"))
# Done, and the client is told nothing: whoever goes by its exception takes it for not done.
LOST_ANSWER = Fault("commit", "apply_drop")
