"""What of a served text is the assistant's answer: drafts in reasoning tags and special tokens left as text are not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_DRAFT_NAMES = r"think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad|analysis|seed:think"

# DeepSeek, Qwen and many others; Magistral; Kimi; Open Thoughts; Command A.
_DRAFT = re.compile(
    rf"(?P<opens><(?:{_DRAFT_NAMES})>|\[THINK\]|\u25c1think\u25b7|<\|begin_of_thought\|>|<\|START_THINKING\|>)"
    rf"|</(?:{_DRAFT_NAMES})>|\[/THINK\]|\u25c1/think\u25b7|<\|end_of_thought\|>|<\|END_THINKING\|>"
    # Behind a draft that was never closed.
    r"|(?P<answers>^<(?:final_?)?(?:answer|solution)>)",
    re.IGNORECASE | re.MULTILINE,
)

# ChatML, Llama, gpt-oss, Phi, Granite; DeepSeek; Gemma 4; Gemma, SmolVLM, StarCoder; Llama 2 and Mistral.
# `<s>` may be HTML within a line.
_TOKEN = re.compile(
    r"<\|([^|<>\s\"']{1,40})\|>|<\uff5c([^\uff5c<>\"']{1,40})\uff5c>|<\|([a-z_]{1,40})>|<([a-z_]{1,40}\|)>"
    r"|<(start_of_turn|end_of_turn|end_of_utterance)>"
    # Behind a space it is a word of a comment or a sentence.
    r"|(?<![ \t])<(bos|eos|eot|pad|unk|endoftext|file_sep)>(?=\s*(?:\n|\Z|<))"
    r"|\[(/?INST)\]"
    r"|(</s>)(?=\s*(?:\n|\Z|\[INST\]|<s>))|(\A\s*<s>|\n[ \t]*<s>)",
    re.IGNORECASE,
)

# The next word is a role.
_NAMES_A_ROLE = frozenset({"im_start", "start_of_turn", "start_of_role", "start_header_id", "start", "turn"})

# What stood before belongs to the head of the turn.
_ENDS_A_HEAD = frozenset(
    {"end_header_id", "end_of_role", "message", "constrain", "tool_sep", "tool_call_argument_begin"}
)
_ROLES = {"inst": "user", "/inst": "assistant", "model": "assistant", "ai": "assistant", "gpt": "assistant"}
# Who calls a tool is the assistant; and Gemma 4 speaks where its channel of thoughts is closed.
_ROLES |= dict.fromkeys(("tool_calls_begin", "tool_calls_section_begin", "tool_call_begin"), "assistant")
_ROLES |= dict.fromkeys(("python_tag", "channel|"), "assistant")

# gpt-oss keeps what it thinks in channels of its own, and calls of tools in another.
_CHANNELS = {"final": "assistant", "commentary": "commentary"}
_TALKERS = frozenset({"assistant", "user", "system", "tool", "observation", *_ROLES})
# What a terminal was told, in a text that was copied from one.
_COLOUR = re.compile("\x1b" r"\[[0-9;]*[A-Za-z]")
_USER = re.compile(
    r"^(?:(?:Human|HUMAN|User|USER|Q|Question)[ \t]*:|#{2,4}[ \t]*(?:Instruction|Human|User|Question)[ \t]*(?::|$))",
    re.MULTILINE,
)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_WORD = re.compile(r"\s*(\w*)[^\S\n]*\n?")


@dataclass(frozen=True, slots=True)
class Served:
    """The turns of the assistant in a served text, in their order, and whether something was left out."""

    turns: tuple[str, ...]
    drafts: bool
    tokens: bool


def served(text: str) -> Served:
    """The assistant's own words in `text`, with line ends as `\\n`. The first turn begins with the text itself.

    A reasoning tag that begins a line and is never closed leaves nothing behind it; one that is closed only was opened
    by the prompt. A special token ends a turn, and what follows is the answer of nobody until a token says that the
    assistant speaks.
    """
    plain = _COLOUR.sub("", text.removeprefix("\ufeff")).replace("\r\n", "\n").replace("\r", "\n")
    rest = _without_drafts(plain)
    turns = [*_turns(rest)]
    # A call of a tool is what was answered where nothing else was.
    speaker = "assistant" if any(role == "assistant" and words.strip() for role, words in turns) else "commentary"
    own = (words for role, words in turns if role == speaker)
    said = tuple(speech for words in own for speech in _speeches(words) if speech.strip())
    return Served(said, rest != plain, bool(_unquoted(_TOKEN, rest)))


def _speeches(words: str) -> Iterator[str]:
    """`words`, parted where a line outside a fence begins a user's turn without any token."""
    start, seen, fences = 0, 0, 0
    for mark in _USER.finditer(words):
        fences += len(_FENCE.findall(words, seen, mark.start()))
        seen = mark.start()
        if fences % 2 == 0:
            yield words[start:seen]
            start = seen
    yield words[start:]


def _unquoted(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """The matches that are no quotation: a token between two quotes is text that the answer is about."""

    def quoted(found: re.Match[str]) -> bool:
        before, behind = text[: found.start()][-2:], text[found.end() : found.end() + 1]
        # Two ticks and more are a fence.
        return before[-1:] == behind and behind in {'"', "'", "`"} and before != "``"

    return [found for found in pattern.finditer(text) if not quoted(found)]


def _without_drafts(text: str) -> str:
    kept, end, inside = "", 0, False
    tags = _unquoted(_DRAFT, text)
    # Behind other text and never closed it is a word of the answer.
    while tags and tags[-1]["opens"] and text[: tags[-1].start()].rpartition("\n")[2].strip():
        tags.pop()
    for tag in tags:
        if tag["opens"]:
            kept += "" if inside else text[end : tag.start()]
            inside = True
        elif tag["answers"] and not inside:
            continue
        elif inside:
            end, inside = tag.end(), False
        elif text[tag.end() :].strip():
            # Opened by the prompt: all before it is the draft.
            end = tag.end()
        else:
            return kept + text[end : tag.start()]
    return kept if inside else kept + text[end:]


def _turns(text: str) -> Iterator[tuple[str, str]]:
    """Role and words of each turn. `draft` is the role of a channel that is not for the user."""
    role = "assistant"
    words, end = "", 0
    for token in [*_unquoted(_TOKEN, text), None]:
        words += text[end : None if token is None else token.start()]
        if token is None:
            break
        end = token.end()
        name = str(next(each for each in token.groups() if each)).strip().lower().replace("\u2581", "_")
        if name in _ENDS_A_HEAD:
            words = ""
            continue
        if words.strip():
            yield role, words
            role = "nobody"
        words = ""
        if name in _TALKERS:
            role = _ROLES.get(name, name)
        elif name in _NAMES_A_ROLE or name == "channel":
            found, end = _word_at(text, end)
            role = _CHANNELS.get(found, "draft") if name == "channel" else _ROLES.get(found, found)
    yield role, words


def _word_at(text: str, start: int) -> tuple[str, int]:
    """The word that stands there, in lower case, and where the text goes on behind it."""
    found = _WORD.match(text, start)
    return (str(found[1]).lower(), found.end()) if found else ("", start)
