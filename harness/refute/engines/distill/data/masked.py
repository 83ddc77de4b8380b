"""Conversations as ids that know what is learnt, each whole in a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from refute.engines.distill.data.packing import READ_ONLY
from refute.engines.distill.data.reading.conversations import Conversation
from refute.engines.model.special_tokens import Watch
from refute.engines.model.tokenizer import Encoder


@dataclass(frozen=True, slots=True)
class MaskedEncoder:
    """Conversations -> ids, in windows of `length` ids behind what each window begins with.

    `watch` looks at what people wrote: what they spell is not what the template put there.
    """

    encoder: Encoder
    watch: Watch
    length: int

    def encode(self, conversations: Sequence[Conversation]) -> list[list[int]]:
        """One list of ids a conversation, closed by the end of a document; READ_ONLY is added to what is not learnt.

        A conversation longer than a window ends with the last turn of the assistant that fits; where none does, or
        a content is one to refuse, its list is empty.
        """
        return [
            [] if self._is_foreign(conversation) else self._marked(conversation, ids, starts)
            for conversation, (ids, starts) in zip(
                conversations, self.encoder.encode_with_starts(conversations), strict=True
            )
        ]

    def fill(self, written: int, ids: Sequence[int]) -> list[int]:
        """What closes the window that `written` ids have begun, where `ids` do not fit into it."""
        rest = self.close(written)
        return rest if len(ids) > len(rest) else []

    def close(self, written: int) -> list[int]:
        """What closes the last window."""
        return [self.encoder.end_of_document | READ_ONLY] * (-written % self.length)

    def _is_foreign(self, conversation: Conversation) -> bool:
        before = self.watch.count
        for content in conversation.contents:
            self.watch.look(content, self.watch.special)
        return self.watch.count > before

    def _marked(self, conversation: Conversation, ids: Sequence[int], starts: Sequence[int]) -> list[int]:
        end = next((turn for turn in reversed(conversation.turns) if self._fits(starts, turn)), None)
        if end is None:
            return []
        last = self.encoder.end_of_document | (0 if conversation.closed else READ_ONLY)
        marked = [
            number | (0 if any(first <= start < after for first, after in conversation.learnt) else READ_ONLY)
            for number, start in zip(ids, starts, strict=True)
            if start < end
        ]
        if marked and (marked[-1] & ~READ_ONLY) == self.encoder.end_of_document:
            return marked
        return [*marked, last]

    def _fits(self, starts: Sequence[int], end: int) -> bool:
        return sum(start < end for start in starts) < self.length
