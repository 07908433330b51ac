"""Noun phrases in both languages: nouns with their determiners, adjectives and possessors."""

from translator.data.phrasebook import french
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.numbers import number
from translator.data.phrasebook.phrases import Phrase, Word, after_preposition, new_tag, spread
from translator.data.phrasebook.vocabulary import Adjective, Entry, Noun

#: For each kind of determiner, five forms: the French masculine, feminine and plural, and the English
#: singular and plural.
DETERMINERS = {
    "definite": ("le", "la", "les", "the", "the"),
    "indefinite": ("un", "une", "des", "a", ""),
    "demonstrative": ("ce", "cette", "ces", "this", "these"),
    "which": ("quel", "quelle", "quels", "which", "which"),
    "every": ("chaque", "chaque", "", "every", ""),
    "several": ("", "", "plusieurs", "", "several"),
    "a few": ("", "", "quelques", "", "a few"),
    "general": ("le", "la", "les", "", ""),
}
#: For each French quantity (without de), its translations before a plural noun and an uncountable noun.
QUANTITIES = {
    "beaucoup": ("a lot of", "a lot of"),
    "trop": ("too many", "too much"),
    "assez": ("enough", "enough"),
}
#: The masculine, feminine and plural French possessives for je, tu, il, nous, vous and ils.
POSSESSIVES = (
    ("mon", "ma", "mes"),
    ("ton", "ta", "tes"),
    ("son", "sa", "ses"),
    ("notre", "notre", "nos"),
    ("votre", "votre", "vos"),
    ("leur", "leur", "leurs"),
)
#: English nouns that are counted although their translation is only plural: des vacances, a vacation.
COUNTED = ("vacation", "emergency room", "restroom")
EN_POSSESSIVES = ("my", "your", "his", "our", "your", "their")


def noun_phrase(
    noun: Noun,
    kind: str,
    *,
    plural: bool = False,
    adjectives: tuple[Adjective, ...] = (),
    owner: tuple[int, str] | None = None,
    count: int = 0,
) -> Phrase:
    """Build a noun with its determiner and adjectives.

    Args:
        noun: the noun. If the noun has only a singular or only a plural, `plural` is ignored.
        kind: a key of `DETERMINERS` or of `QUANTITIES`, or one of `possessive`, `number`, `all` (tous les),
            `negated` (pas de) and `bare` (no determiner).
        plural: whether the noun is plural.
        adjectives: at most one that precedes the noun in French, and at most one that follows it.
        owner: if `kind` is `possessive`, the index of the possessor in je, tu, il, nous, vous, ils, and the
            English possessive.
        count: if `kind` is `number`, the number. If it is above 1, the noun is plural.
    """
    plural = (plural or not noun.fr[0] or count > 1) and bool(noun.fr[1])
    en_plural = (plural and bool(noun.en[1])) or not noun.en[0]
    head = new_tag()
    fr, en = _described(noun, adjectives, head, plural=plural, en_plural=en_plural)
    det_fr, det_en = _determiner(
        noun,
        kind,
        plural=plural,
        en_plural=en_plural,
        vowel=french.starts_with_vowel(fr[0].text),
        described=any(adjective.before for adjective in adjectives),
        owner=owner,
        count=count,
    )
    return Phrase(
        det_fr + fr,
        det_en + en,
        person=5 if plural else 2,
        en_person=5 if en_plural and [word.text for word in det_en] != ["a", "pair", "of"] else 2,
        feminine=noun.feminine,
        owner=owner_word(noun, plural=plural),
        article=kind in ("definite", "general"),
        human=noun.is_human,
        head=head,
    )


def _described(
    noun: Noun, adjectives: tuple[Adjective, ...], head: int, *, plural: bool, en_plural: bool
) -> tuple[list[Word], list[Word]]:
    """Return the words of a noun with its adjectives. In English, all adjectives precede the noun."""
    text, agreement = noun.fr[plural], noun.feminine + 2 * plural
    before = [adjective for adjective in adjectives if adjective.before]
    after = [adjective for adjective in adjectives if not adjective.before]
    fr: list[Word] = []
    after_fr: list[Word] = []
    en: list[Word] = []
    for adjective in [*before, *after]:
        tag, form = new_tag(), adjective.forms[agreement]
        if adjective.before_vowel and agreement == 0 and french.starts_with_vowel(text):
            form = adjective.before_vowel
        (fr if adjective.before else after_fr).extend(spread(form, tag))
        en += spread(adjective.en, tag)
    fr += [*_split(text, head), *after_fr]
    en += _split(noun.en[en_plural] or noun.en[0], head)
    return fr, en


def owner_word(noun: Noun, *, plural: bool) -> str:
    """Return the possessive for what belongs to somebody or something: his, her, its or their."""
    if plural:
        return "their"
    if noun.is_human:
        return "her" if noun.feminine else "his"
    return "its"


def _split(text: str, tag: int) -> list[Word]:
    """Split an entry (`swimming pool`, `jus d'orange`) into words, and change d' and l' to de and la."""
    text = text.replace("d'", "de ").replace("l'", "la ")
    return [Word(part, (tag,)) for part in text.split()]


def _determiner(
    noun: Noun,
    kind: str,
    *,
    plural: bool,
    en_plural: bool,
    vowel: bool,
    described: bool,
    owner: tuple[int, str] | None,
    count: int,
) -> tuple[list[Word], list[Word]]:
    tag = new_tag()
    if kind == "bare":
        return [], []
    if kind == "possessive":
        assert owner is not None
        place, english_word = owner
        form = POSSESSIVES[place][2 if plural else noun.feminine and not vowel]
        return [Word(form, (tag,))], [Word(english_word, (tag,))]
    if kind == "number":
        fr, en = number(count, feminine=noun.feminine)
        if noun.fr[0] and not noun.en[0]:
            en = [*en, "pairs", "of"]  # quatre pantalons, four pairs of pants
        return [Word(w, (tag,)) for w in fr], [Word(w, (tag,)) for w in en]
    if kind in QUANTITIES:
        many, much = QUANTITIES[kind]
        words = (many if en_plural else much).split()
        return [Word(kind, (tag,)), Word("de", (tag,))], [Word(w, (tag,)) for w in words]
    if kind == "negated":
        return [Word("de", (tag,))], [Word("any", (tag,))]
    if kind == "all":
        other = new_tag()
        tous = ("tout", "toute", "tous", "toutes")[noun.feminine + 2 * plural]
        article = Word("les" if plural else ("la" if noun.feminine else "le"), (other,))
        return [Word(tous, (tag,)), article], [Word("all", (tag,)), Word("the", (other,))]
    if kind == "indefinite" and not plural and not noun.fr[1]:
        partitive = ("de", "la") if vowel or noun.feminine else ("du",)  # de la becomes de l' before a vowel
        return [Word(word, (tag,)) for word in partitive], []
    *forms, one, several = DETERMINERS[kind]
    form = forms[2] if plural else forms[noun.feminine]
    if kind == "which" and plural and noun.feminine:
        form = "quelles"
    if form == "ce" and vowel:
        form = "cet"
    english_words = (several if en_plural and plural else one).split()
    if kind == "indefinite":
        if plural and described:
            form = "de"  # des becomes de before an adjective: de grands arbres
        if not noun.fr[0]:
            # English has no article: des lunettes, glasses
            english_words = ["a"] if noun.en[0] in COUNTED else []
        elif en_plural and not plural:
            english_words = ["a", "pair", "of"]
    elif kind == "demonstrative" and en_plural:
        english_words = ["these"]
    return [Word(form, (tag,))], [Word(word, (tag,)) for word in english_words]


def fitting(d: Draw, noun: Noun, chance: float) -> tuple[Adjective, ...]:
    """Draw adjectives that make sense with a noun: none or one.

    The probability that there is an adjective is `chance`, or a third of `chance` if `d.calm` is true.
    """
    if not d.chance(chance / 3 if d.calm else chance):
        return ()
    candidates = d.lexicon.suiting(noun)
    if not candidates:
        return ()
    chosen = d.pick(candidates)
    d.combine(noun.lemma, chosen.lemma)
    d.build("adjective before" if chosen.before else "adjective after")
    if chosen.before_vowel and not noun.feminine and noun.fr[0] and french.starts_with_vowel(noun.fr[0]):
        d.build("bel, nouvel, vieil")
    return (chosen,)


def possessor(d: Draw, noun: Noun, owner: Phrase, *, plural: bool = False) -> Phrase:
    """Build a noun with its possessor: la voiture de Paul, Paul's car.

    If the possessor is not a person, it follows `of` in English: le toit de la maison, the roof of the house.
    """
    d.build("possession with de")
    owned = noun_phrase(noun, "definite", plural=plural)
    of = new_tag()
    if owner.human:
        head = [word for word in owned.en if word.text != "the"]
        last = owner.en[-1].text
        mark = "'" if last.endswith("s") and owner.en_person == 5 else "'s"
        en = [*owner.en, Word(mark, (of,)), *head]
    else:
        en = [*owned.en, Word("of", (of,)), *owner.en]
    owned.fr += after_preposition("de", owner, of)
    owned.en = en
    return owned


def name(entry: Entry) -> Phrase:
    """Build the phrase for the name of a person, a town or a country."""
    tag = new_tag()
    is_feminine = entry.gender == "f"
    return Phrase(
        [Word(part, (tag,)) for part in entry.fr.split()],
        [Word(part, (tag,)) for part in entry.en.split()],
        feminine=is_feminine,
        owner="her" if is_feminine else "his",
        human=entry.kind in ("first", "surname"),
        head=tag,
    )
