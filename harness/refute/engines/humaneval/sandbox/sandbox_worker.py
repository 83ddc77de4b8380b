"""The sandboxed process: confines itself, executes one program, then answers calls of its entry point.

A fork of the template that `preload` starts under a bare interpreter. It never sees the problem's tests, and its exit
status means nothing. Messages it sends: `("ready",)` once confined or `("unfit", reason)`; then `("loaded",)`; then one
`("answer", value)`, with the arguments as they are now where the test looks at them, or `("raised", class names, text)`
for each call.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from refute.engines.humaneval.sandbox.confinement import confine, prepare
from refute.engines.humaneval.sandbox.template import serve
from refute.engines.humaneval.sandbox.wire import Channel, WireError

_TEXT_LIMIT = 500


def main() -> None:
    """Be the template that `sys.argv[1]` describes: each fork confines itself and serves one channel."""
    settings = json.loads(sys.argv[1])
    sys.argv[1:] = []
    confinement = settings["confinement"]
    prepare(confinement["tier"])
    serve(
        settings["control"],
        lambda descriptors: _work(descriptors, confinement),
        settings["writable"],
        owner=confinement["uid"],
        most_processes=settings["most_processes"],
    )


def _work(descriptors: list[int], confinement: dict[str, Any]) -> None:
    """Serve the channel until the judge hangs up."""
    channel = Channel(descriptors[0])
    try:
        confine(**confinement)
    except (OSError, ValueError, OverflowError) as error:
        channel.send(("unfit", str(error)))
        os._exit(1)
    channel.send(("ready",))
    try:
        _serve(channel)
    finally:
        os._exit(0)


def _serve(channel: Channel) -> None:
    message = channel.receive()
    if not isinstance(message, tuple):
        raise WireError("the first message must be a program")
    program, entry_point, seed, in_place = message
    if "random" in program:
        import random

        random.seed(seed)
    try:
        function = _load(program, entry_point)
    except BaseException as error:  # noqa: BLE001 - the program may raise anything, SystemExit included
        channel.send(_describe(error))
        return
    channel.send(("loaded",))
    while True:
        call = channel.receive()
        if not isinstance(call, tuple):
            raise WireError("a call must be a tuple")
        _answer(channel, function, *call, in_place=in_place)


def _load(program: str, entry_point: str) -> Callable[..., object]:
    # A real module, registered, because dataclasses and typing look up a class's module by name.
    module = type(sys)("solution")
    sys.modules["solution"] = module
    # Without this module's own `from __future__`, under which an annotation may name anything.
    code = compile(program, "<solution>", "exec", dont_inherit=True)
    exec(code, module.__dict__)  # noqa: S102 - this is the sandbox
    function = module.__dict__.get(entry_point)
    if not callable(function):
        raise NameError(f"the program defines no function {entry_point!r}")
    return function  # type: ignore[no-any-return]


def _answer(
    channel: Channel,
    function: Callable[..., object],
    args: tuple[object, ...],
    kwargs: dict[str, object],
    *,
    in_place: bool,
) -> None:
    given = [*args, *kwargs.values()]
    try:
        answer = function(*args, **kwargs)
        channel.send(("answer", answer, given) if in_place else ("answer", answer))
    except WireError as error:
        channel.send(("raised", ["TypeError"], f"the answer cannot be compared: {error}"))
    except BaseException as error:  # noqa: BLE001 - the program may raise anything, and return anything
        channel.send(_describe(error))


def _describe(error: BaseException) -> tuple[str, list[str], str]:
    try:
        text = str(error)[:_TEXT_LIMIT]
        names = [kind.__name__ for kind in type(error).__mro__]
        return ("raised", names, str.__str__(text))
    except BaseException:  # noqa: BLE001 - an exception's own methods are the program's code
        return ("raised", ["Exception"], "an exception that cannot be described")
