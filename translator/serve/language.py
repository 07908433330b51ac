"""Codes and names of languages."""

NAMES = {"fr": "French", "en": "English", "de": "German", "es": "Spanish", "it": "Italian", "nl": "Dutch"}


def language_of(code: str, languages: tuple[str, str]) -> str | None:
    """Return which of two languages a code matches, or None if the code matches neither.

    Differences of case and differences between `_` and `-` are ignored. If neither language matches the whole
    code, the regions are ignored, too: `FR`, `fr-CA` and `fr_FR` all match `fr`.
    """
    wanted = code.strip().replace("_", "-").lower()
    for known in languages:
        if known.replace("_", "-").lower() == wanted:
            return known
    for known in languages:
        if known.replace("_", "-").lower().partition("-")[0] == wanted.partition("-")[0]:
            return known
    return None


def name_of(code: str) -> str:
    """Return the English name of the language with the given code, or the code if it is not in `NAMES`."""
    return NAMES.get(code, code)
