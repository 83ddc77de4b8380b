"""May the student be given under the licence that the release names, and does its text lie beside it?"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

_TEXT, _CARD = "release/LICENSE", "release/README.md"
# Ids of the hub from which nobody learns what may be done.
_SAY_NOTHING = frozenset({"unknown", "other", "bsd", "cc", "gpl", "lgpl", ""})
_COPYLEFT = frozenset({"gpl-3.0", "agpl-3.0", "lgpl-3.0"})
_PERMISSIVE = frozenset({"mit", "isc", "bsd-2-clause", "bsd-3-clause", "zlib", "ncsa", "postgresql"})
_ANYTHING = frozenset({"cc0-1.0", "unlicense", "wtfpl", "pddl"})
# What is derived from a model under the licence at the left may be given under one of those at the right; where none is
# named, under the same alone. Sources: the FSF's list of licences, the licences' own clauses on derived works.
_ALLOWED: Mapping[str, frozenset[str]] = {
    "apache-2.0": frozenset({"apache-2.0"}) | _COPYLEFT,
    **{each: frozenset({each, "apache-2.0", "mpl-2.0"}) | _COPYLEFT for each in _PERMISSIVE},
    "lgpl-3.0": frozenset({"lgpl-3.0", "gpl-3.0"}),
    "mpl-2.0": frozenset({"mpl-2.0"}) | _COPYLEFT,
}
# SHA-256 of the text from its title to its last term, without regard to spaces and case.
_APACHE = frozenset(
    {
        "9c6f54e87f5a04ff70048fc03eef7aa52cfec009f514f44bda9912f31ff9a814",
        "f091bb2b40b19b26f2a0fd49b05e517c22b63032c0f5fc3d1f4102ae8376e85f",  # with https in its title
    }
)
_TITLE, _LAST_TERM = "apache license version 2.0", "end of terms and conditions"
# What such a text says, where copyright lines differ from one to the next; of others nobody here knows the text.
_WORDS: Mapping[str, tuple[str, ...]] = {
    "mit": ("permission is hereby granted, free of charge", 'the software is provided "as is"'),
    "bsd-3-clause": ("redistribution and use in source and binary forms", "neither the name of"),
    "bsd-2-clause": ("redistribution and use in source and binary forms",),
}
_FIRST_WORDS = {"apache-2.0": _TITLE, "mit": _WORDS["mit"][0], "bsd-2-clause": _WORDS["bsd-2-clause"][0]}

_MIT = 'Copyright 2026\nPermission is hereby granted, free of charge, to any person.\nThe software is provided "as is".'
_OWN = "Whoever uses this model agrees to these terms."


def _licensed(
    bench: Bench,
    licence: str = "mit",
    teacher: str = "mit",
    init: str | None = None,
    text: str = _MIT,
    told: str | None = None,
    **wrong: int,
) -> None:
    """A release under `licence`, from models under others, with `text` beside; the card says `told`.

    `wrong` says what that comes to. Of everything there are but two or three, so a bar that wants more has no control.
    """
    right = {"unknown_ids": 0, "incompatible": 0, "wrong_texts": 0}
    for name, own in (right | wrong).items():
        bar = bench.bar(name)
        (bar.failing if name in wrong else bar.holding)(own, low=own, high=own, whole=True)
    origin = {"repo": "org/init", "licence": init} if init is not None else None
    publication = {"licence": licence, "teacher": {"repo": "org/teacher", "licence": teacher}, "init": origin}
    bench.put("release", "release.json", {"publication": publication})
    bench.put("staged", _TEXT, text)
    bench.put("staged", _CARD, f'---\nlicense: "{licence if told is None else told}"\n---\n')


def the_same_licence(bench: Bench) -> None:
    """As the teacher's, with its text."""
    _licensed(bench)


def a_stricter_licence(bench: Bench) -> None:
    """What is derived from permissive models may be given under terms of its own kind."""
    _licensed(bench, licence="gpl-3.0", teacher="apache-2.0", init="mit", text="GNU General Public License\n")


def a_community_licence_kept(bench: Bench) -> None:
    """Terms that go with the model."""
    _licensed(bench, licence="gemma", teacher="gemma", text=_OWN)


def given_up_rights(bench: Bench) -> None:
    """Whoever gave up all rights lets others name their terms."""
    _licensed(bench, teacher="cc0-1.0", init="unlicense")


def mit_over_apache(bench: Bench) -> None:
    """The teacher's notices and patent terms are dropped."""
    _licensed(bench, teacher="apache-2.0", incompatible=1)


def a_community_licence_shed(bench: Bench) -> None:
    """The teacher comes with terms of use, and the student without."""
    _licensed(bench, teacher="gemma", incompatible=1)


def the_licence_of_the_init(bench: Bench) -> None:
    """The teacher's was looked at, the init's not."""
    _licensed(bench, init="cc-by-nc-4.0", incompatible=1)


def copyleft_shed(bench: Bench) -> None:
    """A model under copyleft is given permissively."""
    _licensed(bench, teacher="agpl-3.0", incompatible=1)


def an_unknown_teacher(bench: Bench) -> None:
    """Nobody knows under which terms the teacher came."""
    _licensed(bench, licence="unknown", teacher="unknown", text=_OWN, unknown_ids=2)


def terms_of_some_kind(bench: Bench) -> None:
    """`other` is an id of the hub, and no licence."""
    _licensed(bench, licence="other", teacher="mit", text=_OWN, unknown_ids=1, incompatible=1)


def another_text(bench: Bench) -> None:
    """The text beside the model is that of another licence."""
    _licensed(bench, text="Redistribution and use in source and binary forms.", wrong_texts=1)


def half_a_text(bench: Bench) -> None:
    """Terms were cut out of a text that is known to the letter."""
    text = "Apache License\nVersion 2.0\nyou may do as you like\nEND OF TERMS AND CONDITIONS"
    _licensed(bench, licence="apache-2.0", teacher="apache-2.0", text=text, wrong_texts=1)


def a_promise_without_its_limits(bench: Bench) -> None:
    """The terms that protect whoever gives the model were cut."""
    _licensed(bench, text="Permission is hereby granted, free of charge, to any person.", wrong_texts=1)


def a_text_of_a_known_licence_for_another(bench: Bench) -> None:
    """Community terms are named, and the text is a permissive one."""
    _licensed(bench, licence="gemma", teacher="gemma", wrong_texts=1)


def an_empty_text(bench: Bench) -> None:
    """The file is there and says nothing."""
    _licensed(bench, licence="gemma", teacher="gemma", text=" \n", wrong_texts=1)


def the_card_says_otherwise(bench: Bench) -> None:
    """People read the card's licence, and not the release's."""
    _licensed(bench, told="apache-2.0", wrong_texts=1)


def no_text(bench: Bench) -> None:
    """Nothing lies beside the model."""
    _licensed(bench)
    bench.put("staged", _CARD, "# no metadata")


@falsifier(
    "publication-licence",
    needs=("staged", "release"),
    measures={"unknown_ids": "ids", "incompatible": "models", "wrong_texts": "files"},
    controls=(
        *(known_good(build) for build in (the_same_licence, a_stricter_licence, a_community_licence_kept)),
        known_good(given_up_rights),
        *(known_bad(build) for build in (mit_over_apache, a_community_licence_shed, the_licence_of_the_init)),
        *(known_bad(build) for build in (copyleft_shed, an_unknown_teacher, terms_of_some_kind, another_text)),
        *(known_bad(build) for build in (half_a_text, a_text_of_a_known_licence_for_another, an_empty_text)),
        *(known_bad(build) for build in (the_card_says_otherwise, a_promise_without_its_limits)),
        known_unusable(no_text, raises=ValueError),
    ),
)
def publication_licence(context: Context) -> Iterator[Measurement]:
    """Refuted when a licence is none, the student's may not follow on its teacher's or its init's, or the text beside
    the model or the licence on its card is another than the release names."""
    staged = context.evidence("staged")
    publication = context.evidence("release").json("release.json")["publication"]
    licence = publication["licence"]
    origins = [each["licence"] for each in (publication["teacher"], publication["init"]) if each]
    unknown = [each in _SAY_NOTHING for each in (licence, *origins)]
    incompatible = [not _may_follow(licence, each) for each in origins]
    text = staged.path(_TEXT).read_text(encoding="utf-8")
    wrong = [not _is_text_of(licence, text), _told(staged.path(_CARD).read_text(encoding="utf-8")) != licence]
    yield Measurement("unknown_ids", sum(unknown), "ids", n=len(unknown))
    yield Measurement("incompatible", sum(incompatible), "models", n=len(incompatible))
    yield Measurement("wrong_texts", sum(wrong), "files", n=len(wrong))


def _may_follow(licence: str, origin: str) -> bool:
    return origin in _ANYTHING or licence in _ALLOWED.get(origin, frozenset({origin}))


def _is_text_of(licence: str, text: str) -> bool:
    """To the letter where there is one text of it, by its words where lines differ; else that it is no other's."""
    words = " ".join(text.lower().split())
    if licence == "apache-2.0":
        terms = words[words.find(_TITLE) : words.find(_LAST_TERM)]
        return hashlib.sha256(terms.encode()).hexdigest() in _APACHE
    if licence in _WORDS:
        return all(each in words for each in _WORDS[licence])
    return bool(words) and not any(each in words for each in _FIRST_WORDS.values())


def _told(card: str) -> Any:
    """The licence of the card's metadata. Raises ValueError where it names none."""
    found = re.search(r'^license: "?([^"\n]*)"?$', card, re.MULTILINE)
    if found is None:
        raise ValueError("the card names no licence")
    return found[1]
