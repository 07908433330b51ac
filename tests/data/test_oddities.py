"""Oddities: texts that are noted, and ordinary French and English texts, which are not."""

import pytest

from translator.data import phrasebook
from translator.data.oddities import (
    ENTITY,
    INVISIBLE,
    MOJIBAKE,
    QUOTED,
    TOKENISED,
    looks_swapped,
    odd_bits,
)

ODD = {
    "l&apos;eau": ENTITY,
    "&quot;Oui&quot;": ENTITY,
    "it&#39;s": ENTITY,
    "a &#x27; b": ENTITY,
    "Dupont &amp; fils": ENTITY,
    "&#91;sic&#93;": ENTITY,
    "caf&eacute;": ENTITY,
    "&lt;b&gt;": ENTITY,
    "un peut @-@ être": TOKENISED,
    "et @/@ ou": TOKENISED,
    "mai@@ son": TOKENISED,
    "\u00ab Oui \u00bb, dit @-@ il &quot;": TOKENISED | ENTITY,
    "mai\u00adson": INVISIBLE,
    "deux\ufeff": INVISIBLE,
    "un\u200bdeux": INVISIBLE,
    '"Bonjour, le monde."': QUOTED,
    '"Il dit ""oui""."': QUOTED,
    ' "Oui" ': QUOTED,
}


@pytest.mark.parametrize("text", ODD)
def test_what_is_odd_is_seen_on_either_side(text: str) -> None:
    assert odd_bits(text, "plain") == odd_bits("plain", text) == ODD[text]


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
@pytest.mark.parametrize(
    "text", ["é", "à", "ç", "ê", "ô", "ù", "î", "É", "À", "«", "»", "°", "œuf", "Œuf", "\ufeff"]
)
def test_utf8_read_as_another_encoding_is_seen(text: str, encoding: str) -> None:
    try:
        broken = f"mot {text} mot".encode().decode(encoding)
    except UnicodeDecodeError:
        return  # Windows-1252 lacks a byte of it: no program would have made this
    if text in ("œuf", "Œuf") and encoding == "latin-1":
        return  # a control character, which is noted as such
    assert odd_bits(broken, "x") & MOJIBAKE
    assert not odd_bits(f"mot {text} mot", "x") & MOJIBAKE


@pytest.mark.parametrize("text", ["’", "‘", "“", "–", "—", "…", "€"])
def test_typography_read_as_windows_1252_is_seen(text: str) -> None:
    assert odd_bits("x", f"a{text}b".encode().decode("cp1252")) == MOJIBAKE


PLAIN = [
    "AT&T; R&D; un & deux; a&b;",  # no entity has such a name
    "moi@exemple.fr @-moi user@-x a @ b",
    "« CAFÉ» “À LA CARTE” ÉTÉ… NAÏVE",
    "Å vant (ÅÄÖ) Â, Ã. SÃO PAULO, ÂGE, CHÂTEAU, PÂTÉ",
    "âge, pâté, â€ alone",
    'Il dit "oui".',
    '"Oui", dit-il, "non"',
    '"',
    '""',
    "a soft-hyphen, l’œuf, 5 €, 20 °C, « Œuf »\u00a0!\u202f?",
    "👩\u200d👩\u200d👧 q\u200cr",
]


@pytest.mark.parametrize("text", PLAIN)
def test_ordinary_text_is_not_odd(text: str) -> None:
    assert odd_bits(text, "plain") == odd_bits("plain", text) == 0


@pytest.mark.slow
def test_nothing_in_the_phrasebook_is_odd_or_swapped() -> None:
    pairs = [
        (pair["fr"], pair["en"]) for split in ("val", "test", "challenge") for pair in phrasebook.pairs(split)
    ]
    assert [pair for pair in pairs if odd_bits(*pair) & ~QUOTED] == []
    verdicts = [looks_swapped(fr, en, "fr", "en") for fr, en in pairs]
    assert verdicts.count(True) < len(pairs) / 200 < len(pairs) / 2 < verdicts.count(False)
