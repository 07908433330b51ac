"""The help of a subcommand: its values are named by words, nothing is cut, and it ends with an example."""

import re
from typing import Any

from typer.core import TyperCommand

#: For each subcommand, what its example does, and the command. A line has at most 54 characters, so that it
#: fits into a terminal of 60 columns.
EXAMPLES = {
    "import": (
        "Get a configuration for a translation memory",
        "translator import memory.tmx --output mine.yaml",
    ),
    "train": ("Train on your own corpus for ten minutes", "translator train mine.yaml train.max_minutes=10"),
    "check-data": ("See what is wrong with a corpus, before training", "translator check-data mine.yaml"),
    "translate": ("Translate a letter, line by line", "translator translate < letter.fr > letter.en"),
    "synthesize": (
        "Make training pairs from English text, with a model for English to French",
        "translator synthesize news.en --output pairs.tsv \\\n  --model runs/english-french",
    ),
    "evaluate": (
        "Score a run on its test split, as it is and with typing errors",
        "translator evaluate --model runs/mine --robustness",
    ),
    "score": (
        "Find the translations that a model doubts",
        "translator score --source text.fr --target text.en",
    ),
    "align": ("See which word translates which", "translator align --source text.fr --target text.en"),
    "explain": (
        "See on a page what the model looked at",
        "translator explain 'Le chat dort.' --output page.html",
    ),
    "serve": ("Translate in a web browser, at http://127.0.0.1:5000", "translator serve"),
    "export": ("Translate with CTranslate2, without this program", "translator export exported"),
    "import-model": (
        "Take back a model that was trained further in Transformers",
        "translator import-model hub --output runs/tuned",
    ),
    "info": ("See what a model was trained on, and its scores", "translator info runs/mine"),
}

#: Words for the types that Typer shows.
WORDS = {"str": "TEXT", "list[str]": "TEXT", "path": "FILE", "list[Path]": "FILE"}


class Command(TyperCommand):
    """A subcommand that Typer's own help would show with Python's types and with a cut summary."""

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the first paragraph of the help. It is not cut at `limit`, because `--help` wraps it."""
        return (self.help or "").partition("\n\n")[0]

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line."""
        return ["[OPTIONS]", *(f"{p.metavar}" for p in self.params if p.param_type_name == "argument")]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and the options."""
        for kind, title in (("argument", "Arguments"), ("option", "Options")):
            records = [p.get_help_record(ctx) for p in self.get_params(ctx) if p.param_type_name == kind]
            rows = [(_in_words(name), _in_words(text)) for name, text in filter(None, records)]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the example."""
        purpose, command = EXAMPLES[str(self.name)]
        with formatter.section("Example"):
            formatter.write_text(f"{purpose}:")
            formatter.write_text(f"\b\n{command}")


def _in_words(text: str) -> str:
    """Replace Python's types and inequalities in the help of an argument or of an option."""
    text = re.sub(r"(?<=[\]A-Z…]) <[^>]*>$", "", text)  # the type of an argument, after its name
    text = re.sub(r"<(\w+ range|int|float)>$", "N", text)
    text = re.sub(r"<([^>]*)>$", lambda found: WORDS.get(found[1], found[1]), text)
    text = re.sub(r"([\d.]+)<=x<=([\d.]+)", r"\1 to \2", text)
    return re.sub(r"x>=([\d.]+)", r"at least \1", text)
