"""Timestamps: an authority's answer is kept as it came, and believed only about these bytes and under that root."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refute.attest.timestamp import Timestamp, read_timestamp, request_timestamp
from refute.errors import MissingDependencyError, ServiceError, UsageError, VerificationError
from timestamp_authority import SEQUENCE, Authority, der, integer, serving

DATA = b"a lock"
MOMENT = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
AUTHORITY = Authority(clock=lambda: MOMENT)


def test_an_authority_is_asked_and_believed() -> None:
    """Over HTTP and back: its moment, and the name in the certificate that signed."""
    with serving(AUTHORITY.answer) as url:
        answer = request_timestamp(url, DATA)
    assert read_timestamp(answer, DATA, [AUTHORITY.root_pem]) == Timestamp(MOMENT, "CN=A clock")


def test_one_of_several_roots_is_enough() -> None:
    """Whoever verifies may trust more than one authority."""
    answer = AUTHORITY.stamp(hashlib.sha256(DATA).digest())
    assert read_timestamp(answer, DATA, [Authority("Another").root_pem, AUTHORITY.root_pem]).moment == MOMENT


@pytest.mark.parametrize(
    ("data", "roots", "message"),
    [
        (b"another", [AUTHORITY.root_pem], "it is of SHA-256 .*, not "),
        (DATA, [Authority().root_pem], "no authority under the given roots signed it"),
        (DATA, [Authority("Another").root_pem], "no authority under the given roots signed it"),
    ],
)
def test_another_file_and_another_root_are_refused(data: bytes, roots: list[bytes], message: str) -> None:
    """Also a root of the same name with a key of its own."""
    answer = AUTHORITY.stamp(hashlib.sha256(DATA).digest())
    with pytest.raises(VerificationError, match=f"not a timestamp of this file: {message}"):
        read_timestamp(answer, data, roots)


def test_a_root_that_is_no_certificate_is_the_callers_mistake() -> None:
    """The message says what was expected."""
    with pytest.raises(UsageError, match="no certificate in PEM"):
        read_timestamp(b"", DATA, [b"-----BEGIN"])


@given(st.data())
def test_a_changed_answer_is_never_believed(data: st.DataObject) -> None:
    """A byte flipped anywhere, a cut, bytes behind: refused by name, or without any meaning for what is believed."""
    answer = AUTHORITY.stamp(hashlib.sha256(DATA).digest())
    place, bit = data.draw(st.integers(0, len(answer) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(answer)
    changed[place] ^= 1 << bit
    cut = answer[: data.draw(st.integers(0, len(answer) - 1))]
    for found in (bytes(changed), cut, data.draw(st.binary(max_size=60))):
        try:
            believed = read_timestamp(found, DATA, [AUTHORITY.root_pem])
        except VerificationError:
            continue
        assert believed == Timestamp(MOMENT, "CN=A clock")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda _: b"<html>", "no answer of a timestamp authority"),
        (lambda _: der(SEQUENCE, der(SEQUENCE, integer(2))), "status 2: no reason given"),
        (lambda _: AUTHORITY.stamp(hashlib.sha256(b"another").digest()), "it is of SHA-256"),
        (lambda _: AUTHORITY.stamp(hashlib.sha256(DATA).digest()), "the answer to another question"),
    ],
)
def test_an_authority_that_gives_something_else_is_named(answer: object, message: str) -> None:
    """A web page, a refusal, a stamp of another file, a replayed answer: none of them is kept."""
    with serving(answer) as url, pytest.raises(ServiceError, match=f"{url} gave no timestamp: .*{message}"):  # type: ignore[arg-type]
        request_timestamp(url, DATA)


@pytest.mark.parametrize(
    ("url", "kind"),
    [("http://127.0.0.1:9/", ServiceError), ("file:///etc/passwd", UsageError), ("nonsense", UsageError)],
)
def test_an_authority_that_is_not_there_is_named(url: str, kind: type[Exception]) -> None:
    """No file of this machine is an authority either; what is no address was called wrongly."""
    with pytest.raises(kind, match=url):
        request_timestamp(url, DATA, timeout_s=2.0)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of verification works without it."""

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("refute.attest.timestamp.import_module", absent)
    with pytest.raises(MissingDependencyError) as caught:
        read_timestamp(b"", DATA, [])
    assert caught.value.hint == "pip install 'refute[sigstore]'"
