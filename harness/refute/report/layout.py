"""Text laid out for a console: lines that fit its width, in what its encoding can show."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from rich.cells import chop_cells
from rich.console import Console
from rich.text import Text

from refute.output import readable

# Columns: in fewer, the cells of a table would be a letter wide and thousands of lines high.
_TABLE_WIDTH = 70
_COMMAND, _QUOTED = "::", "| "


@dataclass(frozen=True, slots=True)
class Layout:
    """How text is laid out on `console`. What its encoding lacks is spelt out before anything is measured."""

    console: Console

    @property
    def is_wide(self) -> bool:
        """Whether tables fit."""
        return self.console.width >= _TABLE_WIDTH

    def wrapped(self, text: str, indent: str = "", *, end: str = "") -> list[str]:
        """`text` in lines that fit, all but the first behind `indent`, all but the last with `end` behind."""
        width = self.console.width - len(end) - (len(_QUOTED) if _COMMAND in text else 0)
        written = readable(text, self.console.encoding)
        lines = textwrap.wrap(written, width, subsequent_indent=indent, break_on_hyphens=False) or [""]
        fitting = [_harmless(piece, indent) for line in lines for piece in chop_cells(line, width)]
        return [*(line + end for line in fitting[:-1]), *fitting[-1:]]

    def text(self, text: str, style: str = "") -> Text:
        """`text` for a cell, which its table wraps."""
        return Text(readable(text, self.console.encoding), style=style)


def _harmless(line: str, indent: str) -> str:
    """Where a break puts them first in a line, a CI system takes a stranger's words for its command."""
    words = line.lstrip()
    return f"{indent}{_QUOTED}{words}" if words.startswith(_COMMAND) else line
