"""Numbers that are written as words, in both languages."""

_FR = (
    "zéro un deux trois quatre cinq six sept *huit neuf dix *onze douze treize quatorze quinze seize "
    "dix-sept dix-huit dix-neuf"
).split()
_FR_TENS = {20: "vingt", 30: "trente", 40: "quarante", 50: "cinquante", 60: "soixante", 80: "quatre-vingt"}
_EN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_EN_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def number(value: int, *, feminine: bool = False) -> tuple[list[str], list[str]]:
    """Return the words of a number from 0 to 9,999 in French and English."""
    if feminine and value == 1:
        return ["une"], ["one"]
    return _french(value, feminine=feminine), _english(value)


def clock(hour: int, minutes: int) -> tuple[list[str], list[str]]:
    """Return the words of a time of day: deux heures moins le quart, a quarter to two.

    Args:
        hour: from 1 to 12 (midi).
        minutes: a multiple of five from -25 (before the hour) to 30.
    """
    fr = {1: ["une", "heure"], 12: ["midi"]}.get(hour) or [_FR[hour], "heures"]
    if minutes == 0:
        return fr, ["noon"] if hour == 12 else [_EN[hour], "o'clock"]
    half = "demi" if hour == 12 else "demie"
    special = {15: ["et", "quart"], -15: ["moins", "le", "quart"], 30: ["et", half]}
    fr += special.get(minutes) or ["moins"] * (minutes < 0) + _french(abs(minutes))
    en = {15: ["a", "quarter"], 30: ["half"]}.get(abs(minutes)) or _english(abs(minutes))
    return fr, [*en, "to" if minutes < 0 else "past", _EN[hour]]


def ordinal(value: int) -> str:
    """Return the English ordinal of a number from 1 to 99: third, twenty-first."""
    irregular = {
        "one": "first",
        "two": "second",
        "three": "third",
        "five": "fifth",
        "eight": "eighth",
        "nine": "ninth",
        "twelve": "twelfth",
    }
    head, _, last = _english(value)[0].rpartition("-")
    last = irregular.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return f"{head}-{last}" if head else last


def _french(value: int, *, feminine: bool = False) -> list[str]:
    if value >= 1000:
        thousands, rest = divmod(value, 1000)
        head = ["mille"] if thousands == 1 else [*_french(thousands), "mille"]
        return head + (_french(rest, feminine=feminine) if rest else [])
    if value >= 100:
        hundreds, rest = divmod(value, 100)
        head = ["cent"] if hundreds == 1 else [*_french(hundreds), "cent" if rest else "cents"]
        return head + (_french(rest, feminine=feminine) if rest else [])
    if value < 20:
        return ["une" if feminine and value == 1 else _FR[value]]
    ten = value // 10 * 10 if value < 60 else value // 20 * 20
    unit = value - ten
    tens = _FR_TENS[ten]
    if unit == 0:
        return ["quatre-vingts" if value == 80 else tens]
    unit_word = "une" if feminine and unit == 1 else _FR[unit].removeprefix("*")
    if unit in (1, 11) and value < 80:
        return [tens, "et", unit_word]
    return [f"{tens}-{unit_word}"]


def _english(value: int) -> list[str]:
    if value >= 1000:
        thousands, rest = divmod(value, 1000)
        return [*_english(thousands), "thousand", *(_english(rest) if rest else [])]
    if value >= 100:
        hundreds, rest = divmod(value, 100)
        return [_EN[hundreds], "hundred", *(["and", *_english(rest)] if rest else [])]
    if value < 20:
        return [_EN[value]]
    tens = _EN_TENS[value // 10 - 2]
    return [f"{tens}-{_EN[value % 10]}" if value % 10 else tens]
