# ruff: noqa: RUF001 - Cyrillic and Greek letters are meant
"""Which language a text is in: its script, and among languages of one script the share of their commonest words.

That needs no model and tells apart what matters here, with samples of a few thousand characters. Tables, code and names
hold hardly any common words of any language; nothing is said of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache

from rereader.tools.words import words

SAMPLE = 2_000
"""Characters of one sample; :func:`sample_places` says where samples are taken."""
_SAMPLES = 8
_ENOUGH_LETTERS = 20
_ENOUGH_SHARE = 0.12
"""Least share of a text's words that are common words of its language (in prose it is a third or more)."""
_CLEAR = 1.15
"""How much more of the words must be common in the best language than in the next one."""

_SCRIPTS = {
    "el": "\u0370-\u03ff\u1f00-\u1fff",
    "cyrillic": "\u0400-\u052f",
    "he": "\u0590-\u05ff",
    "arabic": "\u0600-\u06ff\u0750-\u077f",
    "hi": "\u0900-\u097f",
    "bn": "\u0980-\u09ff",
    "ta": "\u0b80-\u0bff",
    "te": "\u0c00-\u0c7f",
    "th": "\u0e00-\u0e7f",
    "ka": "\u10a0-\u10ff",
    "hy": "\u0530-\u058f",
    "ko": "\u1100-\u11ff\uac00-\ud7af",
    "ja": "\u3041-\u30ff",
    "zh": "\u3400-\u4dbf\u4e00-\u9fff",
    "latin": "A-Za-z\u00c0-\u024f\u1e00-\u1eff",
}
_COMMON = {
    "latin": {
        "en": "the of and to in that was he it his is for with as had but not at on be her which they you are were",
        "de": "der die und das ist nicht zu den ein von mit sich auf es dem eine sie er auch im des wie war dass ich",
        "fr": "le la les des et est une dans que qui pour pas sur au ne se plus par avec il elle ce son du je vous",
        "es": "el los las una que en y es por con para su lo como más pero se del al fue ha muy no yo",
        "it": "il che di non una per sono con gli della le si come anche ma più nel alla dei era del lo è ho",
        "pt": "o os que não uma com para por mais como mas foi ao dos da do em se sua ele ela na no são é",
        "nl": "de het een van en in dat niet is op te zijn voor met die hij ook maar aan er was bij wordt naar ik",
        "pl": "i w nie na że się do jest z to jak po co ale za od przez był tak o już dla przy czy go",
        "tr": "bir ve bu da için ile çok ne gibi daha o kadar ama sonra olarak var değil ben olan her mi onun",
        "sv": "och att det som en på är av för med den till inte om ett han var jag de har vi men sig hade",
        "da": "og at det som en på er af for med den til ikke om et han var jeg de har vi men sig der fra",
        "fi": "ja on ei se että hän oli mutta kun niin myös ovat joka tai kuin nyt sen minä mitä jos vain",
        "cs": "a se je na že to v s z do o ale jako i za by jsem jeho byl jsou tak po pro co když",
        "hu": "a az és hogy nem is egy ez de volt meg csak már mint van ha azt el még vagy",
        "ro": "și de la a în cu că nu pe o un din care mai este sunt pentru dar era să lui ce se",
        "id": "yang dan di itu dengan untuk tidak ini dari dalam akan pada juga saya ke karena ada bisa mereka oleh",
        "vi": "là và của có không những được trong một cho với các người đã này đó khi để ở cũng",
    },
    "cyrillic": {
        "ru": "и в не на что он с как это по но она к из у за от его то же бы так все было был",
        "uk": "і в не на що він з як це та до але вона у за від його то ж би так все було був є",
        "bg": "и в не на че той с как това по но тя от за до се да е са си му ще бе го като",
        "sr": "и у не на да је се са то као за од али био она он из што су би ја сам до",
    },
    "arabic": {
        "ar": "في من على إلى أن هذا هذه التي الذي كان لا ما عن مع هو هي قد بعد كل لم ثم و",
        "fa": "و در به از که این را با است برای آن یک تا بر هم می نیز شد بود کرد خود های",
        "ur": "کے میں کی ہے اور سے کا کو اس نے پر یہ ہیں کہ ایک بھی تھا نہیں وہ جو ہو کر",
    },
}


def language_of(text: str) -> str:
    """The language's ISO 639-1 code, or an empty string where the text does not show it.

    Args:
        text: A text, or samples of it joined by spaces; a few hundred words are plenty.
    """
    script = _script(text)
    known = _COMMON.get(script)
    if known is None:
        return script
    counts = Counter(words(text))
    total = counts.total()
    shares = sorted(
        ((sum(counts[word] for word in _common(script, code)) / total, code) for code in known), reverse=True
    )
    best, second = shares[0], shares[1]
    return best[1] if best[0] >= _ENOUGH_SHARE and best[0] >= _CLEAR * second[0] else ""


def sample_places(length: int) -> Sequence[tuple[int, int]]:
    """Half-open offsets of the samples that a text of this length is judged by: evenly spread, all of a short one."""
    if length <= SAMPLE * _SAMPLES:
        return [(0, length)]
    step = (length - SAMPLE) // (_SAMPLES - 1)
    return [(i * step, i * step + SAMPLE) for i in range(_SAMPLES)]


def _script(text: str) -> str:
    """The script of most letters (kana decide between Chinese and Japanese), or an empty string for few letters."""
    counts = {name: len(pattern.findall(text)) for name, pattern in _patterns().items()}
    total = sum(counts.values())
    if total < _ENOUGH_LETTERS:
        return ""
    name = max(counts, key=lambda script: counts[script])
    japanese = name in ("zh", "ja") and counts["ja"] * 10 >= counts["zh"]
    return "ja" if japanese else name


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    return {name: re.compile(f"[{letters}]") for name, letters in _SCRIPTS.items()}


@cache
def _common(script: str, code: str) -> frozenset[str]:
    return frozenset(_COMMON[script][code].split())
