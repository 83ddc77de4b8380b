"""Makes untrusted text harmless: control characters for every format, and syntax for Markdown.

HTML is escaped by Jinja2. What a model wrote must not forge a heading, a table cell, a link, a mention
or a terminal colour in the document that judges it.
"""

from __future__ import annotations

import re
import unicodedata

# Control, format (bidirectional overrides among them), surrogate, line and paragraph separator.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_MARKDOWN = re.compile(r"[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")

# Marks that start a heading, a list, a rule or a table's second line; a plain `-0.4` or `3.1` does not.
_BLOCK_START = re.compile(r"^(?:([-+#=:])(?=[-+#=:\s]|$)|(\d+)([.)])(?=\s|$))")

# GitHub links addresses, mentions and issue numbers in plain text, which no backslash prevents.
_AUTOLINK = re.compile(r"@|#(?=\d)|(?<=\w):(?=//)|(?<=www)(?=\.)|(?<=GH)-(?=\d)", re.IGNORECASE)
_BREAK = "&#8203;"


def visible(text: str) -> str:
    r"""`text` with every control or invisible character written out, such as `\x1b`; newline and tab stay."""
    if text.isprintable():  # most text is, and character by character is slow
        return text
    return "".join(char if char in "\n\t" or not _hidden(char) else _written_out(char) for char in text)


def one_line(text: str) -> str:
    """Visible text with every run of white space as one space."""
    return " ".join(visible(text).split())


def clip(text: str, limit: int) -> str:
    """One line of at most `limit` characters; a cut one ends in `…`."""
    line = one_line(text)
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def markdown(text: str) -> str:
    """`text` as one line of inline GitHub-flavoured Markdown that renders as itself, in a table cell too."""
    line = _MARKDOWN.sub(r"\\\g<0>", one_line(text))
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = _AUTOLINK.sub(lambda match: match.group() + _BREAK, line)
    return _BLOCK_START.sub(_escape_start, line)


def markdown_code(text: str) -> str:
    """`text` as an inline code span, for use outside tables."""
    line = one_line(text)
    ticks = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}" if line else ""


def markdown_fence(text: str) -> str:
    """`text` as a fenced block whose fence is longer than any run of backticks within."""
    ticks = "`" * max(3, _longest_run(text) + 1)
    return f"{ticks}text\n{visible(text.replace(chr(13) + chr(10), chr(10))).rstrip()}\n{ticks}"


def _hidden(char: str) -> bool:
    return unicodedata.category(char) in _HIDDEN


def _written_out(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _escape_start(match: re.Match[str]) -> str:
    mark, digits, after = match.groups()
    return f"\\{mark}" if mark else f"{digits}\\{after}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
