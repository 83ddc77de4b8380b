"""refute: release gates for distilled language models that try to prove the model is not ready.

What a falsifier's author may import is here and nowhere else:

    from refute import Bench, Context, Measurement, falsifier, known_bad, known_good

    @falsifier("answers-complete", needs=("answers",), measures={"missing": "answers"},
               controls=(known_good(a_full_file), known_bad(a_file_with_a_gap)))
    def answers_complete(context: Context) -> Iterator[Measurement]: ...
"""

from refute import stats
from refute.errors import RefuteError
from refute.falsifier.context import Context, Evidence, Parameter
from refute.falsifier.controls import Bench, Control, known_bad, known_good, known_open, known_unusable
from refute.falsifier.registry import falsifier
from refute.outcome import Interval, Measurement, Outcome, Ruling, RunClass, Severity

__all__ = [
    "Bench",
    "Context",
    "Control",
    "Evidence",
    "Interval",
    "Measurement",
    "Outcome",
    "Parameter",
    "RefuteError",
    "Ruling",
    "RunClass",
    "Severity",
    "falsifier",
    "known_bad",
    "known_good",
    "known_open",
    "known_unusable",
    "stats",
]
