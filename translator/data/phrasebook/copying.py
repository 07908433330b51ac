"""Text that is copied or reformatted in translation: invented names, numbers, dates, prices and addresses.

Each public function draws an expression and returns its French and its English form. In the examples, the
English form follows the French form in parentheses if the two are different. docs/phrasebook.md describes
the formats.
"""

import re
from collections.abc import Callable
from functools import cache, partial
from unicodedata import normalize

from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.lexicon import rows

_MONTHS = (
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split(),
    "January February March April May June July August September October November December".split(),
)
_WEEKDAYS = (
    "lundi mardi mercredi jeudi vendredi samedi dimanche".split(),
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
)
_DOMAINS = "exemple.fr exemple.org mairie.fr courriel.net ecole.fr librairie.com musee.org hotel.com".split()
_MAILBOXES = "contact info bonjour service accueil equipe reservation presse".split()


@cache
def _syllables() -> list[tuple[list[str], list[str], list[str]]]:
    return [(row["first"].split(), row["middle"].split(), row["last"].split()) for row in rows("syllables")]


def name(d: Draw) -> tuple[str, str]:
    """Draw an invented name, which is composed of syllables: Bellandou, Gartieri."""
    first, middle, last = d.pick(_syllables())
    made = d.pick(first) + (d.pick(middle) if d.chance(0.35) else "") + d.pick(last)
    return made, made


def digits(d: Draw, low: int = 2, high: int = 1000) -> tuple[str, str]:
    """Draw a number in digits: 37, 1500, 1 500 (1,500). It is at least `low` and usually below `high`."""
    value = d.below(low, high if d.chance(0.7) else 20 * high)
    if value < 10_000 and d.chance(0.5):
        return str(value), str(value)
    return _grouped(value)


def _grouped(value: int) -> tuple[str, str]:
    return f"{value:,}".replace(",", " "), f"{value:,}"


def thousands(d: Draw) -> tuple[str, str]:
    """Draw a number from 1 000 (1,000) to 99 999 (99,999), half of them round."""
    return _grouped(d.below(10, 1000) * 100 if d.chance(0.5) else d.below(1000, 100_000))


def decimal(d: Draw) -> tuple[str, str]:
    """Draw a number from 2, with one or two decimals: 4,2 (4.2), 12,75 (12.75)."""
    units, places = d.below(2, 10) if d.chance(0.5) else d.below(10, 100), 1 if d.chance(0.7) else 2
    decimals = d.below(1, 10**places)
    return f"{units},{decimals:0{places}}", f"{units}.{decimals:0{places}}"


def year(d: Draw) -> tuple[str, str]:
    """Draw a year: 1987."""
    value = str(d.below(1930, 2025) if d.chance(0.8) else d.below(1000, 1930))
    return value, value


def millions(d: Draw) -> tuple[str, str]:
    """Draw a number of millions or milliards: 12 millions (12 million), 2,5 milliards (2.5 billion)."""
    fr, en = (str(d.below(2, 100)),) * 2 if d.chance(0.6) else decimal(d)
    unit = d.pick((("millions", "million"), ("millions", "million"), ("milliards", "billion")))
    return f"{fr} {unit[0]}", f"{en} {unit[1]}"


def rank(d: Draw) -> tuple[str, str]:
    """Draw an ordinal number from 2: 2e or 2ème (2nd), 21e or 21ème (21st)."""
    value = d.below(2, 10) if d.chance(0.5) else d.below(10, 100)
    ending = "th" if value // 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{value}{d.pick(('e', 'e', 'ème'))}", f"{value}{ending}"


def hour(d: Draw, low: int = 1, high: int = 24) -> tuple[str, str]:
    """Draw a time of day: 14h30, 14 h 30, 14:30 or 14 heures 30 (2:30 p.m.), 8h or 8 heures (8 a.m.).

    It is from `low` to before `high`, both in hours.
    """
    at = d.below(low, high)
    minutes = d.pick((0, 0, 15, 30, 30, 45, d.below(1, 60)))
    half = "a.m." if at < 12 else "p.m."
    # Typographers want spaces around the h; most people type none.
    mark = d.pick(("h", "h", "h", "h", " h ", " h ", ":" if minutes else "h", " heures " if at > 1 else "h"))
    return f"{at}{mark}{f'{minutes:02}' if minutes else ''}".rstrip(), (
        f"{(at - 1) % 12 + 1}:{minutes:02} {half}" if minutes else f"{(at - 1) % 12 + 1} {half}"
    )


def duration(d: Draw) -> tuple[str, str]:
    """Draw a duration: 2 h or 2 heures (2 hours), 1h30 (1 hour and 30 minutes), 45 min (45 minutes)."""
    if d.chance(0.3):
        minutes = d.below(2, 13) * 5 if d.chance(0.7) else d.below(2, 60)
        return f"{minutes} {d.pick(('min', 'minutes'))}", f"{minutes} minutes"
    hours = d.below(2, 13) if d.chance(0.7) else d.below(2, 73)
    if d.chance(0.4):
        return f"{hours}{d.pick(('h', ' h', ' heures'))}", f"{hours} hours"
    hours, minutes = d.below(1, 6), d.pick((15, 20, 30, 30, 30, 40, 45, d.below(10, 60)))
    mark = d.pick(("h", "h", " h ", " heures " if hours > 1 else " heure "))
    return f"{hours}{mark}{minutes}", f"{hours} hour{'s' * (hours > 1)} and {minutes} minutes"


def degrees(d: Draw) -> tuple[str, str]:
    """Draw a temperature: -5 °C or -5°C (-5°C), 30° (30°), 12 degrés (12 degrees)."""
    value = d.below(2, 20) * (-1 if d.chance(0.6) else 1) if d.chance(0.5) else d.below(10, 45)
    fr, en = d.pick(
        ((" °C", "°C"), ("°C", "°C"), ("°", "°"), (" degrés", " degrees"), (" degrés", " degrees"))
    )
    return f"{value}{fr}", f"{value}{en}"


def speed(d: Draw) -> tuple[str, str]:
    """Draw a speed, which is the same in both languages: 130 km/h."""
    value = f"{d.below(1, 31) * 10 if d.chance(0.6) else d.below(5, 330)} km/h"
    return value, value


def price(d: Draw) -> tuple[str, str]:
    """Draw a price: 12 € or 12€ (€12), 3,50 €, 3,50€, 3€50 or 3 € 50 (€3.50)."""
    euros = d.below(1, 100) if d.chance(0.7) else d.below(100, 3000)
    sign = _sign(d, "€")
    fr = f"{euros:,}".replace(",", " ")
    if d.chance(0.5):
        return fr + sign, f"€{euros:,}"
    cents = f"{d.pick((20, 50, 50, 90, 99, d.below(1, 100))):02}"
    typed = d.pick((f",{cents}{sign}", f",{cents}{sign}", f"€{cents}", f" € {cents}"))
    return fr + typed, f"€{euros:,}.{cents}"


def _sign(d: Draw, sign: str) -> str:
    """Return a sign that follows a number, with the space that many people do not type."""
    return d.pick((" ", " ", "")) + sign


def amount(d: Draw) -> tuple[str, str]:
    """Draw a large amount of money: 45 000 € (€45,000), 265 000€ (€265,000)."""
    fr, en = _grouped(d.below(10, 100) * d.pick((500, 1000, 5000)))
    return fr + _sign(d, "€"), f"€{en}"


def percentage(d: Draw) -> tuple[str, str]:
    """Draw a percentage: 20 % or 20% (20%), 2,5 % or 2,5% (2.5%)."""
    number = f"{d.below(1, 100)}" + (f".{d.below(1, 10)}" if d.chance(0.3) else "")
    return number.replace(".", ",") + _sign(d, "%"), f"{number}%"


def date(d: Draw) -> tuple[str, str]:
    """Draw a date: 3 mai (May 3), 1er juin 2019 (June 1, 2019), 02/05/2019 (05/02/2019), mardi 2 mai."""
    if d.chance(0.2):
        return weekday_date(d)
    if d.chance(0.2):
        day, month = f"{d.below(1, 29):02}", f"{d.below(1, 13):02}"
        ending = f"/{d.below(1950, 2030)}" if d.chance(0.7) else ""
        return f"{day}/{month}{ending}", f"{month}/{day}{ending}"
    fr, en = day_of_month(d)
    if d.chance(0.4):
        of = d.below(1950, 2025)
        return f"{fr} {of}", f"{en}, {of}"
    return fr, en


def day_of_month(d: Draw) -> tuple[str, str]:
    """Draw a date without a year: 3 mai (May 3), 1er juin (June 1)."""
    month = d.below(0, 12)
    day = d.below(1, 29 if month == 1 else 31)
    return f"{'1er' if day == 1 else day} {_MONTHS[0][month]}", f"{_MONTHS[1][month]} {day}"


def weekday_date(d: Draw) -> tuple[str, str]:
    """Draw a date with the day of the week: lundi 2 septembre (Monday, September 2)."""
    of, (fr, en) = d.below(0, 7), day_of_month(d)
    return f"{_WEEKDAYS[0][of]} {fr}", f"{_WEEKDAYS[1][of]}, {en}"


def phone(d: Draw) -> tuple[str, str]:
    """Draw a telephone number, which is the same in both languages: 06 12 34 56 78, +33 6.12.34.56.78."""
    area = d.pick(("0",) * 9 + ("+33 ",)) + f"{d.below(1, 10)}"
    number = d.pick((" ",) * 7 + (".", "-", "")).join([area, *(f"{d.below(0, 100):02}" for _ in range(4))])
    return number, number


def email(d: Draw) -> tuple[str, str]:
    """Draw an e-mail address, which is the same in both languages."""
    box = d.pick(_MAILBOXES) if d.chance(0.4) else _plain(name(d)[0])
    address = f"{box}@{_domain(d)}"
    return address, address


def url(d: Draw) -> tuple[str, str]:
    """Draw a web address, which is the same in both languages."""
    address = f"{d.pick(('www.', 'https://', 'https://www.', ''))}{_domain(d)}"
    return address, address


def _domain(d: Draw) -> str:
    if d.chance(0.4):
        return d.pick(_DOMAINS)
    return _plain(name(d)[0]) + d.pick((".fr", ".com", ".org", ".net", ".eu"))


def _plain(name: str) -> str:
    return "".join(character for character in normalize("NFKD", name.lower()) if character.isascii())


def between(d: Draw, low: str, high: str) -> tuple[str, str]:
    """Draw a number between two others, with as many decimals: 1 240 (1,240), 37,8 (37.8).

    Years, between 1000 and 2099, have no spaces or commas. Nor have numbers if `low` starts with 0; they have
    as many digits as `low`.
    """
    places = len(low.partition(",")[2])
    value = d.below(int(low.replace(",", "")), int(high.replace(",", "")) + 1)
    if not places and (low.startswith("0") or (int(low) >= 1000 and int(high) < 2100)):
        return (f"{value:0{len(low)}}",) * 2
    fr, en = _grouped(value // 10**places)
    decimals = f"{value % 10**places:0{places}}"
    return (f"{fr},{decimals}", f"{en}.{decimals}") if places else (fr, en)


_RANGE = re.compile(r"(\d+(?:,\d+)?)-(\d+(?:,\d+)?)")


def copied(kind: str) -> Callable[[Draw], tuple[str, str]] | None:
    """Return the function that draws the text of a kind of slot, or None if it is no text to copy.

    The kind is a key of `COPIED`, or a range of numbers such as 20-40 or 37,8-40,5 (see `between`).
    """
    if ends := _RANGE.fullmatch(kind):
        return partial(between, low=ends[1], high=ends[2])
    return COPIED.get(kind)


#: For each kind of slot with copied or reformatted text, the function that draws the text.
COPIED: dict[str, Callable[[Draw], tuple[str, str]]] = {
    "name": name,
    "digits": digits,
    "thousands": thousands,
    "decimal": decimal,
    "millions": millions,
    "rank": rank,
    "year": year,
    "hour": hour,
    "morning": partial(hour, low=7, high=12),
    "afternoon": partial(hour, low=13, high=20),
    "duration": duration,
    "degrees": degrees,
    "speed": speed,
    "price": price,
    "amount": amount,
    "percentage": percentage,
    "date": date,
    "day-of-month": day_of_month,
    "weekday-date": weekday_date,
    "phone": phone,
    "email": email,
    "url": url,
}
