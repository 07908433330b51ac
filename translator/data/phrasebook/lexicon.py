"""The words of the phrasebook. They are read from `tables/`, which docs/phrasebook.md describes."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from translator.data.phrasebook import english, french
from translator.data.phrasebook.french import Conjugation
from translator.data.phrasebook.vocabulary import Adjective, Entry, Noun, Verb, leaves

TABLES = Path(__file__).parent / "tables"


@dataclass(frozen=True)
class Lexicon:
    """The words of all tables, with caches for repeated queries."""

    nouns: tuple[Noun, ...]
    adjectives: tuple[Adjective, ...]
    verbs: tuple[Verb, ...]
    conjugations: dict[str, Conjugation]
    adverbs: tuple[Entry, ...]
    times: tuple[Entry, ...]
    names: tuple[Entry, ...]
    _nouns_of: dict[object, list[Noun]] = field(default_factory=dict)
    verbs_found: dict[object, list[Verb]] = field(default_factory=dict)
    _suiting: dict[object, list[Adjective]] = field(default_factory=dict)
    _translated: dict[object, Verb] = field(default_factory=dict)

    @cached_property
    def clausal(self) -> tuple[Verb, ...]:
        """All verbs except those that need a subordinate clause with que."""
        return tuple(verb for verb in self.verbs if "that" not in verb.object)

    @cached_property
    def scenes(self) -> list[str]:
        """All scenes in the tables, sorted. If there are none, the list contains only the empty string."""
        return sorted(
            frozenset[str]().union(*(n.scenes for n in self.nouns), *(v.scenes for v in self.verbs))
        ) or [""]

    @cached_property
    def actions(self) -> tuple[Verb, ...]:
        """The verbs that describe what people do on purpose.

        Verbs that need a place where somebody is (rester) or a clause with que are left out.
        """
        human, not_done = leaves(["human"]), {"stays", "that"}
        return tuple(
            v
            for v in self.verbs
            if not (v.state or v.happens) and v.subject & human and not v.object & not_done
        )

    def of(self, *classes: str) -> list[Noun]:
        """Return the nouns in one of the given classes or groups of classes, in the order of the table."""
        if classes not in self._nouns_of:
            wanted = leaves(classes)
            self._nouns_of[classes] = [noun for noun in self.nouns if not wanted.isdisjoint(noun.classes)]
        return self._nouns_of[classes]

    def verb_translated(self, lemma: str, *en: str, done_to: tuple[str, ...] = ()) -> Verb:
        """Return a verb with a translation that is not in the table, such as be for avoir (avoir faim).

        Args:
            lemma: a verb of the tables, or a regular verb. If it starts with `se` or `s'`, it is reflexive.
            en: base form, third person, past, participle and -ing form of the English verb.
            done_to: classes of the verb's object. If it is empty, the verb has no object and describes a
                state.
        """
        key = (lemma, en)
        if key not in self._translated:
            base, third, past, participle, ing = en
            infinitive = lemma.removeprefix("se ").removeprefix("s'")
            known = self.conjugations.get(infinitive) or next(
                (verb.forms for verb in self.verbs if verb.lemma == infinitive), None
            )
            reflexive, none = lemma != infinitive, frozenset[str]()
            self._translated[key] = Verb(
                lemma=lemma,
                reflexive=reflexive,
                forms=known or french.regular(infinitive),
                etre=reflexive,
                en=(base, third, past, participle, ing),
                rest=(),
                particle="",
                state=not done_to,
                liking=False,
                happens=False,
                subject=leaves(["human"]),
                preposition="",
                object=leaves(done_to),
                second=None,
                where=none,
                how=(),
            )
        return self._translated[key]

    @cached_property
    def _first(self) -> dict[str, Verb]:
        first: dict[str, Verb] = {}
        for verb in self.verbs:
            if verb.takes:
                first.setdefault(verb.lemma, verb)
        return first

    @cached_property
    def primary(self) -> tuple[Verb, ...]:
        """The first meaning in the table of each verb that can have a direct object pronoun.

        With a direct object pronoun, the grammar uses only this meaning: je le porte, I wear it.
        """
        return tuple(self._first.values())

    def is_primary(self, verb: Verb) -> bool:
        """Return whether `verb` is one of the meanings in `primary`."""
        return self._first.get(verb.lemma) is verb

    def has_living_twin(self, verb: Verb) -> bool:
        """Return whether another meaning of the verb can have a person or an animal as its subject."""
        return any(
            v.lemma == verb.lemma and v.subject & leaves(["living"]) for v in self.verbs if v is not verb
        )

    def suiting(self, noun: Noun) -> list[Adjective]:
        """Return the adjectives that make sense with a noun."""
        key = (noun.lemma, noun.classes)
        if key not in self._suiting:
            is_from = noun.lemma[0].isupper()  # not: a French American
            attributive = (
                a for a in self.adjectives if a.place != "be" and not (is_from and a.en[0].isupper())
            )
            suits = [a for a in attributive if not a.applies.isdisjoint(noun.classes)]
            # "une petite amie" would be a girlfriend, and gens is feminine after an adjective only
            unfit = {("petit", "ami")} | {(a.lemma, "gens") for a in suits if a.before}
            self._suiting[key] = [a for a in suits if (a.lemma, noun.lemma) not in unfit]
        return self._suiting[key]


def lemmas(lexicon: Lexicon) -> set[tuple[str, str]]:
    """Return the pair (part of speech, French word) for every noun, adjective, verb, adverb and name."""
    return {
        *(("noun", noun.lemma) for noun in lexicon.nouns),
        *(("adjective", adjective.lemma) for adjective in lexicon.adjectives),
        *(("verb", verb.lemma) for verb in lexicon.verbs),
        *(("adverb", entry.fr) for entry in lexicon.adverbs),
        *(("name", entry.fr) for entry in lexicon.names),
    }


def rows(table: str) -> Iterator[dict[str, str]]:
    """Yield each line of a table as a dict from column name to cell.

    Blank lines and comments (lines that start with `#`) are left out.
    """
    with (TABLES / f"{table}.tsv").open(encoding="utf-8", newline="") as file:
        lines = (line for line in file if line.strip() and not line.startswith("#"))
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, restval=""):
            yield {name: (value or "").strip() for name, value in row.items() if name}


@cache
def load() -> Lexicon:
    """Read all tables of words. The result is cached."""
    conjugations = {row["infinitive"]: _conjugation(row) for row in rows("conjugations")}
    return Lexicon(
        nouns=tuple(noun for row in rows("nouns") for noun in _nouns(row)),
        adjectives=tuple(_adjective(row) for row in rows("adjectives")),
        verbs=tuple(_verb(row, conjugations) for row in rows("verbs")),
        conjugations=conjugations,
        adverbs=tuple(Entry(r["french"], r["english"], r["class"]) for r in rows("adverbs")),
        times=tuple(
            Entry(r["french"], r["english"], r["when"], _links(r["links"]), is_long=bool(r["long"]))
            for r in rows("times")
        ),
        names=tuple(Entry(r["french"], r["english"], r["class"], (), r["gender"]) for r in rows("names")),
    )


def _nouns(row: dict[str, str]) -> Iterator[Noun]:
    classes = frozenset(row["classes"].split())
    where = None
    if row["where"]:
        french_preposition, english_preposition, *bare = row["where"].split("|")
        where = (french_preposition, english_preposition, bool(bare))

    def noun(singular: str, many: str, feminine: bool) -> Noun:
        fr = (singular, many or french.plural(singular))
        en = (row["english"], row["english_plural"] or english.plural(row["english"]))
        if many == "=":
            fr, en = ("", singular), ("", row["english_plural"] or row["english"])
            if row["english_plural"] == "-":
                en = (row["english"], "")  # only singular in English: les mathématiques, mathematics
        elif many == "-":
            fr, en = (singular, ""), (row["english"], "")
        elif en[0] == en[1] and en[0].endswith("s"):
            en = ("", en[1])  # only plural in English: un pantalon, pants
        return Noun(row["french"].removeprefix("*"), fr, en, feminine, classes, where, *_company(row))

    genders = row["gender"]
    if genders == "mf" and french.starts_with_vowel(row["french"]):
        genders = "m"  # masculine only, because the elided article of l'enfant does not show the gender
    for gender in genders:
        yield noun(row["french"], row["plural"], gender == "f")
    if row["feminine"]:
        yield noun(row["feminine"], "", True)


def _adjective(row: dict[str, str]) -> Adjective:
    masculine = row["french"]
    fem = row["feminine"] or french.feminine(masculine)
    invariable = row["feminine"] == masculine and row["plural"] == masculine
    plurals = (row["plural"] or french.plural(masculine), fem if invariable else french.plural(fem))
    return Adjective(
        masculine.removeprefix("*"),
        (masculine, fem, *plurals),
        row["before_vowel"],
        row["place"],
        row["english"],
        leaves(row["applies"].split()),
        _company(row)[0],
    )


def _verb(row: dict[str, str], conjugations: dict[str, Conjugation]) -> Verb:
    fr = row["french"]
    infinitive = fr.removeprefix("se ").removeprefix("s'")
    model = row["model"] or (infinitive if infinitive in conjugations else "")
    if model in conjugations:
        forms = french.like(conjugations[model], infinitive)
    else:
        forms = french.regular(infinitive, doubles=model in ("appeler", "jeter"))
    words, _, particle = row["english"].partition("|")
    base, *rest = words.split()
    past = row["past"] or english.past(base)
    preposition, *classes = row["object"].split() or [""]
    if preposition not in _PREPOSITIONS:
        preposition, classes = "", [preposition, *classes] if preposition else []
    second = None
    if row["second"]:
        what, _, to = row["second"].partition(":")
        second = (what.split()[0], leaves(what.split()[1:]), to)
    return Verb(
        fr,
        fr != infinitive,
        forms,
        row["auxiliary"] == "être" or fr != infinitive,
        (base, english.third(base), past, row["participle"] or past, english.ing(base)),
        tuple(rest),
        particle,
        row["kind"] in ("state", "liking"),
        row["kind"] == "liking",
        row["kind"] == "happens",
        leaves(row["subject"].split()),
        preposition,
        leaves(classes),
        second,
        leaves(row["where"].split()),
        tuple(row["how"].split()),
        *_company(row),
    )


def _company(row: dict[str, str]) -> tuple[int, frozenset[str]]:
    """Return the frequency of a word, and the scenes to which it belongs."""
    return int(row.get("frequency") or 3), frozenset(row.get("scenes", "").split())


_PREPOSITIONS = frozenset("à de avec sur dans en chez contre pour par vers devant derrière sous".split())


def _conjugation(row: dict[str, str]) -> Conjugation:
    present = tuple(row[person] for person in ("je", "tu", "il", "nous", "vous", "ils"))
    return french.from_parts(
        row["infinitive"],
        present,
        row["imperfect"],
        row["future"],
        row["participle"],
        tuple(row["imperative"].split()),
    )


def _links(cell: str) -> tuple[tuple[int, int], ...]:
    pairs = (link.split("-") for link in cell.split())
    return tuple((int(i), int(j)) for i, j in pairs)
