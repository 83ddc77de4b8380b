"""Passphrases: from a file that only its owner reads, the environment or the terminal; none that is not needed."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import pytest

from refute.attest import generate_key, load_private_key, public_pem
from refute.attest.passphrase import given_passphrase
from refute.attest.signing_key import open_signing_key
from refute.errors import MissingInputsError, UsageError


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A passphrase file."""
    path = tmp_path / "secret"
    path.write_bytes(b"correct horse\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("text", "passphrase"),
    [(b"a\n", b"a"), (b"a\r\n", b"a"), (b"a", b"a"), (b" a \n\n", b" a \n"), (b"\xff\x00b", b"\xff\x00b")],
)
def test_one_line_end_is_not_part_of_it(secret: Path, text: bytes, passphrase: bytes) -> None:
    """Every other byte is, spaces and such that are no text included."""
    secret.write_bytes(text)
    assert given_passphrase(secret) == passphrase


def test_a_file_that_others_may_read_is_refused(secret: Path, tmp_path: Path) -> None:
    """As a key is; an empty one, and one that is not there, have messages of their own."""
    secret.chmod(0o640)
    with pytest.raises(UsageError, match=r"the passphrase file .* has mode 0640"):
        given_passphrase(secret)
    secret.chmod(0o600)
    secret.write_bytes(b"\n")
    with pytest.raises(UsageError, match=r"the passphrase in .* is empty"):
        given_passphrase(secret)
    with pytest.raises(MissingInputsError, match="cannot read the passphrase file"):
        given_passphrase(tmp_path / "lost")


def test_the_file_comes_before_the_environment(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is used where no file is given; set and empty, it is a mistake."""
    assert given_passphrase(None) is None
    monkeypatch.setenv("REFUTE_KEY_PASSPHRASE", "from outside")
    assert given_passphrase(secret) == b"correct horse"
    assert given_passphrase(None) == b"from outside"
    monkeypatch.setenv("REFUTE_KEY_PASSPHRASE", "")
    with pytest.raises(UsageError, match=r"the passphrase in \$REFUTE_KEY_PASSPHRASE is empty"):
        given_passphrase(None)


def test_an_encrypted_key_opens_with_what_was_given(
    secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file or the variable; without either, and without a terminal, the ways are named."""
    pair = generate_key(tmp_path / "keys", "mine", passphrase=b"correct horse")
    path = str(pair.private)
    with pytest.raises(UsageError, match="is encrypted, and no passphrase was given") as caught:
        open_signing_key(path, None, None)
    assert "--passphrase-file" in caught.value.hint
    assert public_pem(open_signing_key(path, None, secret)) == pair.public.read_bytes()
    monkeypatch.setenv("REFUTE_KEY_PASSPHRASE", "correct horse")
    assert public_pem(open_signing_key(path, None, None)) == pair.public.read_bytes()
    monkeypatch.setenv("REFUTE_KEY_PASSPHRASE", "wrong")
    with pytest.raises(UsageError, match="the passphrase does not open"):
        open_signing_key(path, None, None)


def test_a_plain_key_needs_none(secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is for whatever key is encrypted; a file that is named for a key that is not is a mistake."""
    path = str(generate_key(tmp_path / "keys", "plain").private)
    monkeypatch.setenv("REFUTE_KEY_PASSPHRASE", "something")
    open_signing_key(path, None, None)
    with pytest.raises(UsageError, match="is not an encrypted private key"):
        open_signing_key(path, None, secret)


def test_a_uri_and_its_public_half_come_together(tmp_path: Path) -> None:
    """Each without the other is a usage error that says what is missing; together they sign."""
    pair = generate_key(tmp_path / "keys", "mine")
    with pytest.raises(UsageError, match="needs its public half too"):
        open_signing_key(f"file2:{pair.private}", None, None)
    with pytest.raises(UsageError, match="goes with a key that is named by a URI"):
        open_signing_key(str(pair.private), pair.public, None)
    with pytest.raises(MissingInputsError, match="cannot read the public key"):
        open_signing_key(f"file2:{pair.private}", tmp_path / "lost.pub", None)
    assert public_pem(open_signing_key(f"file2:{pair.private}", pair.public, None)) == pair.public.read_bytes()


def type_at_terminal(program: str, *lines: bytes) -> tuple[int, bytes]:
    """Run a Python program on a terminal of its own, type each line at its prompt; exit status and what was shown."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", program])  # noqa: S606  # our own interpreter
    shown = b""
    waiting = list(lines)
    prompts = 0
    while True:
        try:
            chunk = os.read(terminal, 1024)
        except OSError:  # how Linux says that the other end of a terminal is closed
            chunk = b""
        if not chunk:
            break
        shown += chunk
        if shown.count(b": ") > prompts and waiting:
            prompts = shown.count(b": ")
            os.write(terminal, waiting.pop(0) + b"\n")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown


@pytest.mark.slow
def test_a_person_at_the_terminal_is_asked(tmp_path: Path) -> None:
    """Twice for a new key, once to use it, and what is typed is not shown."""
    folder = tmp_path / "keys"
    make = (
        "from pathlib import Path\nfrom refute.attest.keys import generate_key\n"
        "from refute.attest.passphrase import choose_passphrase\n"
        f"generate_key(Path({str(folder)!r}), 'mine', passphrase=choose_passphrase())"
    )
    status, shown = type_at_terminal(make, b"hunter2", b"hunter2")
    assert (status, b"hunter2" in shown) == (0, False)
    load_private_key(folder / "mine.key", b"hunter2")
    key = str(folder / "mine.key")
    use = f"from refute.attest.signing_key import open_signing_key\nopen_signing_key({key!r}, None, None)"
    assert type_at_terminal(use, b"hunter2")[0] == 0
    status, shown = type_at_terminal(use, b"wrong")
    assert (status, b"the passphrase does not open" in shown) == (1, True)


@pytest.mark.slow
def test_two_different_words_make_no_key(tmp_path: Path) -> None:
    """A slip while typing would lock the key for ever."""
    program = "from refute.attest.passphrase import choose_passphrase\nchoose_passphrase()"
    status, shown = type_at_terminal(program, b"one", b"two")
    assert (status, b"the two passphrases differ" in shown) == (1, True)
