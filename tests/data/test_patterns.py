"""Patterns: the meaning of a line of a table, and the messages for invalid lines."""

import re
from pathlib import Path

import pytest

from translator.alignment.words import words
from translator.data.phrasebook import lexicon, patterns
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.numbers import clock
from translator.data.phrasebook.pattern_tables import Known, Pattern, Slot, check, parse, read
from translator.data.phrasebook.phrases import Sentence, finish
from translator.errors import DataError

KNOWN = Known(
    drawn={"order", "town"},
    nouns={"food", "room"},
    empty={"spaceship"},
    french={"vouloir", "être", "content"},
    english={"want", "be"},
    leads=["un", "le", "adj"],
)


def filled(fr: str, en: str, links: str = "", *, seed: int = 1) -> Sentence:
    line = parse(fr, en, links, where="here:1")
    return finish(patterns.fill(Draw(lexicon.load(), seed), line))


def linked(sentence: Sentence) -> set[str]:
    fr, en = words(sentence.fr), words(sentence.en)
    return {f"{fr[i]}={en[j]}" for i, j in sentence.links}


def test_a_line_is_words_and_slots() -> None:
    line = parse("Je voudrais {un adj food#2}.", "I'd like {food#2}.", "je=I; voudrais='d like", where="x:1")
    assert line.fr == ("Je", "voudrais", Slot(("un", "adj"), "food#2"), ".")
    assert line.en == ("I", "'d", "like", Slot((), "food#2"), ".")
    assert line.links == ((0, 0), (1, 1), (1, 2), (3, 4))
    assert line.fr[2].kind == "food"  # type: ignore[union-attr]


def test_verbs_and_adjectives_agree_and_negations_stand_around_the_verb() -> None:
    said = filled("Elles {pas passé venir}, nous {se lever} et tu {être} {content}.", "They didn't come.")
    assert said.fr == "Elles ne sont pas venues, nous nous levons et tu es content."
    assert (
        filled("Il faut que tu {subjonctif aller} là.", "You have to {base go} there.").fr
        == "Il faut que tu ailles là."
    )
    assert filled("Elle {le passé voir}.", "She {past see} it.").fr == "Elle l'a vu."


def test_english_verbs_agree_and_are_contracted() -> None:
    assert filled("Elle {aller}.", "She {go}.").en == "She goes."
    assert filled("Ils {être} là.", "They {be} here.").en == "They're here."
    assert filled("Tu {pas être} là.", "You {past be}n't here.").en == "You weren't here."


def test_nouns_take_articles_and_prepositions_contract() -> None:
    assert filled("Je vais à {le marché}.", "I'm going to {the marché}.").fr == "Je vais au marché."
    assert (
        filled("Elle parle de {les enfant}.", "She's talking about {the enfant}.").fr
        == "Elle parle des enfants."
    )
    assert filled("Je mange {un pain}.", "I'm eating {some pain}.")[:2] == (
        "Je mange du pain.",
        "I'm eating some bread.",
    )
    assert filled("Je n'ai pas {de voiture}.", "I don't have {a voiture}.")[:2] == (
        "Je n'ai pas de voiture.", "I don't have a car.",
    )  # fmt: skip
    assert (
        filled("Nous rangeons {poss chambre}.", "We're cleaning {poss chambre}.").fr
        == "Nous rangeons notre chambre."
    )


def test_links_are_those_of_the_table_and_of_the_slots() -> None:
    said = filled("Je vais à {town}.", "I'm going to {town}.", "je=I; vais='m going; à=to")
    town = words(said.fr)[3]
    assert {"Je=I", "vais='m", "vais=going", "à=to", ".=."} < linked(said)
    assert any(link.startswith(f"{town}=") for link in linked(said))


def test_words_of_a_link_are_found_where_they_stand_together() -> None:
    line = parse(
        "La maison est à un kilomètre de la gare.",
        "The house is by the station.",
        "la gare=the station",
        where="x",
    )
    assert (7, 4) in line.links
    assert (8, 5) in line.links
    assert not {0, 1} & {i for i, _ in line.links}
    apart = parse("Il ne dort pas, ne pas rire.", "He isn't, no.", "ne pas=is n't", where="x")
    assert {i for i, _ in apart.links} >= {5, 6}
    twice = parse("Le chat ne voit pas le chien.", "He is not.", "ne pas=not", where="x")
    assert (2, 2) in twice.links
    assert (4, 2) in twice.links


def test_copies_are_written_as_they_are() -> None:
    is_spaced = set()
    for seed in range(40):
        said = filled("Le train part à {hour}.", "The train leaves at {hour}.", seed=seed)
        hour = said.fr.removeprefix("Le train part à ").removesuffix(".")
        is_spaced.add(" " in hour)
        assert said.en.endswith(("a.m.", "p.m.")), said
        at, minutes = re.fullmatch(r"(\d+)(?: ?h ?| heures ?|:)(\d\d)?", hour).groups()
        twelve = (int(at) - 1) % 12 + 1
        assert f" {twelve}{':' + minutes if minutes else ''} {'a' if int(at) < 12 else 'p'}.m." in said.en
        assert max(i for i, _ in said.links) == len(words(said.fr)) - 1
        mail = filled("Écrivez à {email}.", "Write to {email}.", seed=seed)
        assert mail.fr.removeprefix("Écrivez à ") == mail.en.removeprefix("Write to ")
        price = filled("Cela coûte {price}.", "It costs {price}.", seed=seed)
        euros = price.fr.removeprefix("Cela coûte ").removesuffix(".").removesuffix("€").strip()
        euros = re.sub(" ?€ ?", ",", euros)  # 15€50
        assert price.en == f"It costs €{euros.replace(' ', 'x').replace(',', '.').replace('x', ',')}."
    assert is_spaced == {True, False}


@pytest.mark.parametrize(
    ("kind", "forms"),
    [
        (
            "rank",
            {
                r"([2-9]1)(e|ème)": r"\1st",
                r"([2-9]?2)(e|ème)": r"\1nd",
                r"(1\d|[2-9]?[04-9])(e|ème)": r"\1th",
            },
        ),
        (
            "duration",
            {
                r"(\d+) min(utes)?": r"\1 minutes",
                r"1( ?h ?| heure )(\d\d)": r"1 hour and \2 minutes",
                r"([2-9])( ?h ?| heures )(\d\d)": r"\1 hours and \3 minutes",
                r"(\d+)( ?h| heures)": r"\1 hours",
            },
        ),
        (
            "degrees",
            {
                r"(-?\d+) degrés": r"\1 degrees",
                r"(-?\d+) ?°C": r"\1°C",
                r"(-?\d+) °C": r"\1°C",
                r"(-?\d+)°": r"\1°",
            },
        ),
        ("millions", {r"([\d]+) millions": r"\1 million", r"(\d+),(\d+) milliards": r"\1.\2 billion"}),
        ("weekday-date", {r"lundi 1er mai": "Monday, May 1", r"vendredi (\d+) mai": r"Friday, May \1"}),
        ("date", {r"(\d\d)/(\d\d)/(\d{4})": r"\2/\1/\3", r"(\d+) juin (\d+)": r"June \1, \2"}),
        ("20-40", {r"([23]\d|40)": r"\1"}),
        ("1,50-1,52", {r"1,(50|51|52)": r"1.\1"}),
        ("01000-09999", {r"(0[1-9]\d\d\d)": r"\1"}),
        ("1950-1985", {r"(19\d\d)": r"\1"}),
        ("999-1001", {"999": "999", "1 00([01])": r"1,00\1"}),
    ],
)
def test_copied_text_has_the_form_that_each_language_writes(kind: str, forms: dict[str, str]) -> None:
    seen = set()
    for seed in range(600):
        said = filled(f"On dit {{{kind}}} ici.", f"They say {{{kind}}} here.", seed=seed)
        fr, en = said.fr[len("On dit ") : -len(" ici.")], said.en[len("They say ") : -len(" here.")]
        for pattern, form in forms.items():
            if found := re.fullmatch(pattern, fr):
                assert en == found.expand(form)
                seen.add(pattern)
    assert seen == set(forms)


def test_the_clock_in_words() -> None:
    for (hour, minutes), said in {
        (2, -15): ("deux heures moins le quart", "a quarter to two"),
        (1, 0): ("une heure", "one o'clock"),
        (1, 30): ("une heure et demie", "half past one"),
        (12, 30): ("midi et demi", "half past twelve"),
        (12, 0): ("midi", "noon"),
        (9, 5): ("neuf heures cinq", "five past nine"),
        (11, -20): ("*onze heures moins vingt", "twenty to eleven"),
    }.items():
        assert tuple(map(" ".join, clock(hour, minutes))) == said


@pytest.mark.parametrize(
    ("fr", "en", "links", "message"),
    [
        ("{un fodo}.", "{a fodo}.", "", "x.tsv:1: unknown slot {fodo}; did you mean {food}?"),
        (
            "{un food}.",
            "Food.",
            "",
            "x.tsv:1: {un food} is on one side only; the other needs one of food too",
        ),
        (
            "{von food}.",
            "{a food}.",
            "",
            "x.tsv:1: 'von' in {von food} is not a determiner; there are: un, le, adj",
        ),
        (
            "{un spaceship}.",
            "{a spaceship}.",
            "",
            "x.tsv:1: class spaceship has no noun; add one to nouns.tsv",
        ),
        (
            "{un food} {le food}.",
            "{a food}.",
            "",
            "x.tsv:1: {un food} twice; tell them apart: food#1 and food#2",
        ),
        ("Il {vuoloir}.", "He {want}.", "", "x.tsv:1: unknown slot {vuoloir}; did you mean {vouloir}?"),
        ("Oui.", "Yes.", "non=yes", "x.tsv:1: a link names 'non', which is not in 'Oui .'"),
        ("Oui.", "Yes.", "oui", "x.tsv:1: link 'oui' is not `French words=English words`"),
        ("{un food.", "{a food}.", "", "x.tsv:1: a brace without its partner in '{un food.'"),
    ],
)
def test_a_wrong_line_is_refused_with_file_line_and_cure(fr: str, en: str, links: str, message: str) -> None:
    with pytest.raises(DataError) as refused:
        check({"sentence": [parse(fr, en, links, where="x.tsv:1")], "order": []}, KNOWN)
    assert str(refused.value) == message


def test_a_sound_line_is_not_refused() -> None:
    """The control of the test above."""
    check(
        {"sentence": [parse("Il {vouloir} {un food}.", "He {want}s {a food}.", "il=he", where="x.tsv:1")]},
        KNOWN,
    )


def test_the_same_french_twice_in_a_table_is_refused() -> None:
    def line(english: str, number: int) -> Pattern:
        return parse("En cas d'urgence.", english, "", where=f"x.tsv:{number}")

    one, other = line("In case of emergency.", 1), line("In an emergency.", 7)
    with pytest.raises(DataError, match=r"x.tsv:7: the French is that of x.tsv:1; remove one of the two"):
        check({"sentence": [one, other]}, KNOWN)
    check({"sentence": [one], "a": [other]}, KNOWN)


def test_a_slot_made_of_itself_is_refused() -> None:
    def slot(name: str) -> Pattern:
        return parse(f"{{{name}}}", f"{{{name}}}", "", where="x.tsv:1")

    known = KNOWN._replace(drawn={"a", "b"})
    with pytest.raises(DataError, match=r"slots.tsv: a → b → a: a slot contains itself; break the cycle"):
        check({"a": [slot("b")], "b": [slot("a")]}, known)


def test_a_line_without_its_tabs_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "patterns.tsv"
    table.write_text("french\tenglish\tlinks\tpoints\n\n# a comment\nOui. Yes.\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"patterns.tsv:4: 1 cells; a line is French, English, links, points"):
        list(read(table, named=False))


def test_every_pattern_of_the_tables_can_be_filled_in() -> None:
    d = Draw(lexicon.load(), 5)
    for line in patterns.tables()["sentence"]:
        d.start()
        sentence = finish(patterns.fill(d, line))
        ends = (len(words(sentence.fr)) - 1, len(words(sentence.en)) - 1)
        assert sentence.links[-1] == ends, (line.where, sentence)


def test_a_named_slot_of_the_tables_is_used() -> None:
    tables = patterns.tables()
    used = {s.kind for lines in tables.values() for line in lines for s in line.fr if isinstance(s, Slot)}
    assert set(tables) - {"sentence"} - used == set()
