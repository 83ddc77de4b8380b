"""refute: release gates for distilled language models that try to prove the model is not ready.

What a falsifier's author may import is here and nowhere else:

    from refute import Bench, Context, Measurement, falsifier, known_bad, known_good

    @falsifier("answers-complete", needs=("answers",), measures={"missing": "answers"},
               controls=(known_good(a_full_file), known_bad(a_file_with_a_gap)))
    def answers_complete(context: Context) -> Iterator[Measurement]: ...

They are loaded when the first of them is asked for: every command, and every pytest of everyone who installs this,
comes through here.
"""

import sys

TYPE_CHECKING = False  # as in `typing`, which costs more than everything else here
if TYPE_CHECKING:
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

if not TYPE_CHECKING:

    class _Names(type(sys)):
        """This module: it finds its names late, and `falsifier` is the decorator, not the folder of that name."""

        def __getattr__(self, name: str) -> object:
            if name not in __all__:
                raise AttributeError(f"module 'refute' has no attribute {name!r}; it exports {', '.join(__all__)}")
            import refute.stats as stats
            from refute import errors, outcome
            from refute.falsifier import context, controls

            places = (errors, outcome, context, controls)
            return stats if name == "stats" else next(vars(place)[name] for place in places if name in vars(place))

        def __dir__(self) -> list[str]:
            return sorted({*vars(self), *__all__})

        @property
        def falsifier(self) -> object:
            from refute.falsifier import registry

            return registry.falsifier

        @falsifier.setter
        def falsifier(self, folder: object) -> None:
            """Python would set it to the folder as soon as that is imported."""

    sys.modules[__name__].__class__ = _Names
