"""Texts by which two readings of one tokenizer are told apart, each with the reason why it is among them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator

from transformers import PreTrainedTokenizerFast

PROBES = {
    "prose": "The quick brown fox jumps over the lazy dog, and nobody minds.",
    "digits": "In 1984 there were 12345678 of them, 3.14159 each, 007 in all.",
    "contractions": "I'll say they've won; WE'LL see, it's THEY'RE call and he'd know.",
    "code": 'def f(x: int) -> dict[str, int]:\n    return {"a": x ** 2, **rest}  # f(1)["a"]\n',
    "indentation": "if a:\n\tif b:\n\t\tpass\n        else:\n            pass\n",
    "line ends": "one\r\ntwo\rthree\n\n\n\nfour\n",
    "blanks": "a  b   c    d     e      \u00a0f\u3000g \u2009h ",
    "punctuation": '()"#** <<>>!= ;;:: ... -- ---- ===== @@ ~~ ``` $%^&*()_+',
    "accents": "Größe, naïve, façade, Ångström, İstanbul, Ștefan, “quotes” \u2013 dashes — …",
    "decomposed accents": "e\u0301le\u0300ve, n\u0303, A\u030a",
    "scripts": "Привет мир, こんにちは世界, 안녕하세요, שלום עולם, مرحبا ٣٤ بالعالم, नमस्ते १२",
    "emoji": "🙂 👩‍👩‍👧‍👦 🇩🇪 👍🏽 ❤️ 🏳️‍🌈",
    "ligatures": "\ufb01nal \u2126 \u00b2\u00b3 ½ ㎏ \uff21\uff22\uff23",
    "control characters": "a\u0000b\u0007c\u001bd\u200be\ufefff\u00adg",
    "long words": "Donaudampfschifffahrtsgesellschaftskapitän antidisestablishmentarianism aaaaaaaaaaaaaaaaaaaaaaaa",
    "markup": '<p class="x">&amp;nbsp;</p> [link](https://example.org/a?b=c&d=%20) $\\frac{1}{2}$',
    "foreign markers": "<|im_start|> <|endoftext|> <s> </s> [INST] <unk> <|x|> <0x0A>",
}


def probe_texts(tokenizer: PreTrainedTokenizerFast) -> Iterator[tuple[str, str]]:
    """(kind, text): every class of PROBES, and each added token alone and between others.

    Texts are composed (NFC) for a tokenizer that composes them itself: llama.cpp composes none, which is known of it
    and no fault of a file.
    """
    composes = '"NFC"' in json.dumps(json.loads(tokenizer.backend_tokenizer.to_str()).get("normalizer"))
    for kind, text in PROBES.items():
        yield kind, unicodedata.normalize("NFC", text) if composes else text
    for token in sorted(tokenizer.get_added_vocab()):
        yield "added token", token
        yield "added token between others", f"say {token}\nso{token} {token}."
