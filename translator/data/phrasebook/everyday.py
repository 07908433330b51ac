"""Hours, dates, prices, weather and quantities."""

from translator.data.phrasebook import beings, parts, places
from translator.data.phrasebook.clauses import realise
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.english import BE_PAST
from translator.data.phrasebook.french import agree
from translator.data.phrasebook.nouns import noun_phrase
from translator.data.phrasebook.numbers import number, ordinal
from translator.data.phrasebook.phrases import Phrase, Word, after_preposition, new_tag, pattern
from translator.data.phrasebook.statements import clause, say, verbs


def hour(d: Draw) -> Phrase:
    """Il est trois heures et demie; quelle heure est-il ?"""
    d.build("hour")
    if d.chance(0.05):
        return pattern("quelle_a heure_b est_c -il_d ?", "what_a time_b is_c it_d ?")
    if d.chance(0.4):
        return pattern("il_a est_b {0} .", "it_a is_b {0} .", clock(d))
    drawn = clause(d, simple=True, verb=d.pick([v for v in parts.doings(d) if "inf" not in v.object]))
    drawn.tail.append(pattern("à_a {0}", "at_a {0}", clock(d)))
    return say(d, drawn)


def clock(d: Draw) -> Phrase:
    """Draw a time of day: three o'clock, half past three, a quarter to four, ten past five."""
    value = d.below(1, 13)
    if value == 12 and d.chance(0.6):
        return pattern(*d.pick((("midi_a", "noon_a"), ("minuit_a", "midnight_a"))))
    fr, en, tag, own = number(value, feminine=True)[0], number(value)[1], new_tag(), new_tag()
    hours = [*(Word(w, (tag,)) for w in fr), Word("heure" if value == 1 else "heures", (own,))]
    english = [Word(w, (tag,)) for w in en]
    kind = d.pick(("o'clock", "o'clock", "half", "quarter", "to", "minutes"))
    m = new_tag()
    if kind == "o'clock":
        return Phrase(hours, [*english, Word("o'clock", (own,))])
    if kind == "half":
        return Phrase(
            [*hours, Word("et", (m,)), Word("demie", (m,))],
            [Word("half", (m,)), Word("past", (m,)), *english],
        )
    if kind == "quarter":
        return Phrase(
            [*hours, Word("et", (m,)), Word("quart", (m,))],
            [Word("a", (m,)), Word("quarter", (m,)), Word("past", (m,)), *english],
        )
    if kind == "to":
        return Phrase(
            [*hours, Word("moins", (m,)), Word("le", (m,)), Word("quart", (m,))],
            [Word("a", (m,)), Word("quarter", (m,)), Word("to", (m,)), *english],
        )
    minutes = number(d.pick((5, 10, 20, 25)))
    return Phrase(
        [*hours, *(Word(w, (m,)) for w in minutes[0])],
        [*(Word(w, (m,)) for w in minutes[1]), Word("past", ()), *english],
    )


def date(d: Draw) -> Phrase:
    """Nous sommes lundi; on est le douze mai; mon anniversaire est le trois juin."""
    d.build("date")
    month = noun_phrase(d.noun("month"), "bare")
    day = d.below(1, 32)
    figure, tag = ([*(number(day)[0])] if day > 1 else ["premier"]), new_tag()
    when = Phrase(
        [Word("le"), *(Word(w, (tag,)) for w in figure), *month.fr],
        [*month.en, Word(ordinal(day), (tag,))],
    )
    kind = d.pick(("we are", "birthday", "event", "weekday", "born", "born"))
    if kind == "born":
        return _born(d, when)
    if kind == "we are":
        return pattern("nous_a sommes_b {0} .", "it_a is_b {0} .", when)
    if kind == "birthday":
        kin = beings.being(d, d.noun("family"))
        tag, of = new_tag(), new_tag()
        fr = [Word("le", ()), Word("anniversaire", (tag,)), *after_preposition("de", kin, of)]
        mark = "'" if kin.en[-1].text.endswith("s") else "'s"
        who = Phrase(fr, [*kin.en, Word(mark, (of,)), Word("birthday", (tag,))])
        return pattern("{0} est_a {1} .", "{0} is_a on_b {1} .", who, when)
    if kind == "weekday":
        weekday = noun_phrase(d.noun("weekday"), "bare")
        when_fr, word = d.pick((("nous_a sommes_b", "it_a is_b"), ("demain_a ce_b est_b", "tomorrow_a is_b")))
        return pattern(f"{when_fr} {{0}} .", f"{word} {{0}} .", weekday)
    event = noun_phrase(d.noun("event"), "definite")
    verb = "commencera_a" if not event.plural else "commenceront_a"
    return pattern(f"{{0}} {verb} {{1}} .", "{0} will_a start_a on_b {1} .", event, when)


def _born(d: Draw, when: Phrase) -> Phrase:
    """Elle est née à Paris; je suis né le douze mai."""
    d.build("naître", "passé composé with être", "passé composé")
    who = beings.pronoun(d) if d.chance(0.6) else beings.being(d, d.noun("person", "family"))
    place = d.pick((places.in_town, places.in_country))(d, goes=False)
    what = place if d.chance(0.6) else pattern("{0}", "on_a {0}", when)
    fr = d.lexicon.conjugations["être"].present[who.person]
    born = agree("né", is_feminine=who.feminine, is_plural=who.plural)
    en = BE_PAST[who.en_person]
    return pattern(f"{{0}} {fr}_a {born}_b {{1}} .", f"{{0}} {en}_a born_b {{1}} .", who, what)


def price(d: Draw) -> Phrase:
    """Ce livre coûte douze euros; combien coûte la voiture ?"""
    d.build("price")
    noun = d.noun("thing", "wearable", "vehicle", "food", "fruit")
    plural = noun.counted and d.chance(0.3)
    kind = "demonstrative" if noun.counted or not noun.fr[0] else "definite"
    what = noun_phrase(noun, d.pick((kind, "definite")), plural=plural)
    many = what.en_person == 5
    if d.chance(0.3):
        aux = "do" if many else "does"
        fr = "coûtent" if what.plural else "coûte"
        return pattern(f"combien_a {fr}_b {{0}} ?", f"how_a much_a {aux}_b {{0}} cost_b ?", what)
    count = d.pick(
        (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 18, 20, 25, 30, 40, 50, 60, 75, 80, 90, 100, 200, 300, 1000)
    )
    amount = noun_phrase(next(n for n in d.lexicon.of("money") if n.lemma == "euro"), "number", count=count)
    fr = "coûtent" if what.plural else "coûte"
    return pattern(f"{{0}} {fr}_a {{1}} .", f"{{0}} {'cost' if many else 'costs'}_a {{1}} .", what, amount)


_WEATHER = (
    ("il_a pleut_b", "it_a is_b raining_b"),
    ("il_a neige_b", "it_a is_b snowing_b"),
    ("il_a fait_b froid_c", "it_a is_b cold_c"),
    ("il_a fait_b chaud_c", "it_a is_b hot_c"),
    ("il_a fait_b beau_c", "the_a weather_a is_b nice_c"),
    ("il_a fait_b mauvais_c", "the_a weather_a is_b bad_c"),
    ("il_a pleuvait_b", "it_a was_b raining_b"),
    ("il_a neigeait_b", "it_a was_b snowing_b"),
    ("il_a pleuvra_b", "it_a will_b rain_b"),
    ("il_a neigera_b", "it_a will_b snow_b"),
    ("il_a a_b plu_b", "it_a rained_b"),
    ("il_a a_b neigé_b", "it_a snowed_b"),
    ("il_a va_c pleuvoir_b", "it_a is_c going_c to_c rain_b"),
    ("il_a va_c neiger_b", "it_a is_c going_c to_c snow_b"),
    ("il_a faisait_b froid_c", "it_a was_b cold_c"),
    ("il_a faisait_b chaud_c", "it_a was_b hot_c"),
    ("il_a fera_b beau_c", "the_a weather_a will_b be_b nice_c"),
    ("il_a fera_b froid_c", "it_a will_b be_b cold_c"),
    ("il_a ne_n pleut_b pas_n", "it_a is_b not_n raining_b"),
    ("il_a ne_n fait_b pas_n froid_c", "it_a is_b not_n cold_c"),
    ("il_a ne_n neige_b plus_n", "it_a is_b not_n snowing_b anymore_n"),
    ("il_a y_b a_b du_s soleil_c", "it_a is_b sunny_csb"),
    ("il_a y_b a_b du_s vent_c", "it_a is_b windy_csb"),
)


_IS_PAST = ("pleuvait", "neigeait", "plu", "neigé", "faisait")


def weather(d: Draw) -> Phrase:
    """Il pleut; il fera beau demain; il neigeait quand je suis parti."""
    d.build("weather")
    fr, en = d.pick(_WEATHER)
    phrase = pattern(fr, en)
    kind = d.pick(("alone", "time", "time", "place", "place", "si", "but"))
    if kind == "place":
        return pattern(
            "{0} {1} .", "{0} {1} .", phrase, d.pick((places.in_town, places.in_country))(d, goes=False)
        )
    future = any(mark in fr for mark in ("ra_", "va_"))
    past = any(mark in fr for mark in _IS_PAST)
    when = "future" if future else ("past" if past else "present")
    if kind == "time":
        return pattern("{0} {1} .", "{0} {1} .", phrase, places.time(d, when))

    told = {"future": "futur", "past": "passé composé", "present": "futur"}[when]
    if kind == "si" and when == "present":
        d.build("si with futur")
        simple = {"is_b raining_b": "rains_b", "is_b snowing_b": "snows_b"}
        for long, short in simple.items():
            en = en.replace(long, short) if "not" not in en else en.replace(long, f"does not {short[:-3]}_b")
        en = en.replace("does not", "does_b not_n")
        other = realise(clause(d, tense=told, simple=True), d.lexicon.conjugations)
        return pattern(f"si_z {fr} , {{0}} .", f"if_z {en} , {{0}} .", other)
    if kind == "but" and when != "present":
        other = realise(clause(d, tense=told, simple=True), d.lexicon.conjugations)
        return pattern(f"{fr} , mais_z {{0}} .", f"{en} , but_z {{0}} .", other)
    return pattern("{0} .", "{0} .", phrase)


def container(d: Draw) -> Phrase:
    """Je voudrais une tasse de café; elle achète deux kilos de pommes."""
    d.build("container")
    drinks = d.chance(0.5)
    box = d.noun("liquid" if drinks else "solid")
    inside = d.noun("drink") if drinks else d.noun("fruit", "vegetable", "food")
    count = d.below(1, 5)
    cup = noun_phrase(box, "number" if count > 1 else "indefinite", count=count)
    what = noun_phrase(inside, "bare", plural=True)
    whole = pattern("{0} de_a {1}", "{0} of_a {1}", cup, what)
    verb = d.pick(
        verbs(d, lambda v: v.lemma in ("vouloir", "acheter", "apporter") and v.direct and not v.reflexive)
    )
    tense = "conditionnel" if verb.lemma == "vouloir" else ""
    drawn = clause(d, verb=verb, but="direct", tense=tense, simple=True)
    drawn.objects.insert(0, whole)
    return say(d, drawn)
