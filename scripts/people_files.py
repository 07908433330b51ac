"""Twenty-two files of pairs, one of each kind that people have, with the faults that such files have."""

import gzip
import json
import lzma
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import openpyxl
import pyarrow
from datasets import Dataset

#: (French, English), with the characters that separate, quote and mark up in some format.
PAIRS = [
    ("Le chat dort sur le canapé.", "The cat is sleeping on the sofa."),
    ("Où est la gare, s'il vous plaît ?", "Where is the station, please?"),
    ('Il a dit : "Je reviens demain."', 'He said: "I am coming back tomorrow."'),
    ("Nous avons mangé ; puis nous sommes partis.", "We ate; then we left."),
    ("L'été est fini, hélas.", "The summer is over, alas."),
    ("Le prix est de 5 € & il baisse.", "The price is 5 € & it is going down."),
    ("Si a < b, alors b > a.", "If a < b, then b > a."),
    ("C’est la vie.", "That is life."),
    ("Elle ne veut pas venir avec nous.", "She does not want to come with us."),
    ("J'ai perdu les clés de la maison.", "I have lost the keys of the house."),
    ("Les œufs sont dans la cuisine.", "The eggs are in the kitchen."),
    ("Tu dois apprendre à nager.", "You have to learn to swim."),
    ("Le garçon a une sœur.", "The boy has a sister."),
    ("Il fait très froid dans cette pièce.", "It is very cold in this room."),
    ("Je ne sais pas pourquoi.", "I do not know why."),
    ("Voilà ce que je pense.", "This is what I think."),
]
#: In Mac Roman and Latin-9 as well as in Windows-1252, and without quotes or delimiters.
PLAIN = [(fr.replace("’", "'"), en) for fr, en in PAIRS if not set('";,&<€') & set(fr + en)]
#: What `import` finds if columns have the codes of their languages.
BY_CODE = {"fr": "fr", "en": "en"}


class People(NamedTuple):
    """A file that somebody has.

    Attributes:
        paths: what is given to `import`.
        pairs: the pairs in it.
        malformed: how many rows are left out, by reason.
        data: what `import` finds besides the files, without the encoding if it is UTF-8.
    """

    paths: list[Path]
    pairs: list[tuple[str, str]]
    malformed: dict[str, int]
    data: dict[str, Any]


Maker = Callable[[Path], People]


def tmx_of_a_tool(folder: Path) -> People:
    """Language variants, several in a unit, inline markup, a missing language, a DTD that is not there."""
    units = "".join(
        f'<tu><tuv xml:lang="en-US"><seg>{escape(en)}</seg></tuv>'
        f'<tuv xml:lang="fr-CA"><seg>{escape(fr)}</seg></tuv></tu>\n'
        for fr, en in PAIRS
    )
    odd = """<tu><tuv xml:lang="fr-FR"><seg>Cliquez <bpt i="1">&lt;b&gt;</bpt>ici<ept i="1">&lt;/b&gt;</ept>
        maintenant<ph>{1}</ph>.</seg></tuv>
    <tuv xml:lang="EN_GB"><seg>Click <hi>here</hi> now.</seg></tuv>
    <tuv xml:lang="en"><seg>Click now.</seg></tuv></tu>
    <tu><tuv xml:lang="fr"><seg>Sans anglais</seg></tuv><tuv xml:lang="de"><seg>Ohne</seg></tuv></tu>"""
    path = folder / "memory.tmx"
    path.write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx version="1.4">'
        f'<header srclang="en-US"/><body>\n<!-- old -->{units}{odd}</body></tmx>'
    )
    more = [("Cliquez ici maintenant.", "Click here now."), ("Cliquez ici maintenant.", "Click now.")]
    return People([path], [*PAIRS, *more], {"no_text": 1}, {"format": "tmx"})


def tmx_of_windows(folder: Path) -> People:
    """UTF-16, CR LF, the attribute `lang` of TMX 1.1, an empty segment, and a name that says nothing."""
    units = "".join(
        f'<tu><tuv lang="FR-FR">\r\n<seg>{escape(fr)}</seg></tuv>\r\n'
        f'<tuv lang="EN-US"><seg>{escape(en)}</seg></tuv></tu>'
        for fr, en in [*PAIRS, ("", "empty")]
    )
    path = folder / "export.xml"
    head = '<?xml version="1.0" encoding="UTF-16"?>\r\n<tmx version="1.1"><header/><body>'
    path.write_bytes(f"{head}{units}</body></tmx>".encode("utf-16"))
    return People([path], [*PAIRS, ("", "empty")], {}, {"format": "tmx"})


def po_string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def po(folder: Path) -> People:
    """Fuzzy, obsolete and missing translations, plural forms, contexts, line breaks."""
    entries = "".join(
        f"#: a.c:{i}\nmsgid {po_string(en)}\nmsgstr {po_string(fr)}\n\n" for i, (fr, en) in enumerate(PAIRS)
    )
    path = folder / "fr.po"
    path.write_text(
        'msgid ""\nmsgstr ""\n"Language: fr_FR\\n"\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'
        + entries
        + r"""
#, fuzzy
msgid "Close"
msgstr "Clore"

msgctxt "menu"
msgid "%d file\n"
msgid_plural "%d files\n"
msgstr[0] "%d fichier\n"
msgstr[1] "%d fichiers\n"

msgid ""
"Several\n"
"lines"
msgstr ""
"Plusieurs\n"
"lignes"

msgid "Untranslated"
msgstr ""

#~ msgid "Old"
#~ msgstr "Vieux"
"""
    )
    more = [
        ("%d fichier\n", "%d file\n"),
        ("%d fichiers\n", "%d files\n"),
        ("Plusieurs lignes", "Several lines"),
    ]
    more = [(fr.strip(), en.strip()) for fr, en in more]
    return People([path], [*PAIRS, *more], {"unfinished": 3}, {"format": "po"})


def po_of_old(folder: Path) -> People:
    """Latin-9, and a header that names no language."""
    entries = "".join(f"msgid {po_string(en)}\nmsgstr {po_string(fr)}\n\n" for fr, en in PLAIN)
    path = folder / "old.po"
    header = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=ISO-8859-15\\n"\n\n'
    path.write_bytes((header + entries).encode("iso8859-15"))
    return People([path], PLAIN, {}, {"format": "po", "columns": {"fr": "msgstr", "en": "msgid"}})


def xliff(folder: Path) -> People:
    """From English, with a namespace, inline tags, other proposals, and units without a translation."""
    units = "".join(
        f'<trans-unit id="{i}"><source>{escape(en)}</source><target>{escape(fr)}</target></trans-unit>\n'
        for i, (fr, en) in enumerate(PAIRS)
    )
    odd = """<trans-unit id="a"><source>Click <g id="1">here</g><x id="2"/></source>
    <target>Cliquez <g id="1">ici</g><x id="2"/></target>
    <alt-trans><source>no</source><target>non</target></alt-trans></trans-unit>
    <trans-unit id="b"><source>None</source></trans-unit>
    <trans-unit id="c"><source>New</source><target state="new">New</target></trans-unit>"""
    path = folder / "page.xlf"
    path.write_text(
        '<?xml version="1.0"?><xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">'
        '<file source-language="en-US" target-language="fr-FR" original="x" datatype="html"><body>\n'
        f"{units}{odd}</body></file></xliff>"
    )
    return People([path], [*PAIRS, ("Cliquez ici", "Click here")], {"unfinished": 2}, {"format": "xliff"})


def workbook(folder: Path, name: str, rows: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.create_sheet("Notes").append(["not", "read"])
    book.save(folder / name)
    return folder / name


def xlsx(folder: Path) -> People:
    """A header in French, empty rows, a line break in a cell, numbers, an empty side."""
    rows: list[list[Any]] = [["N°", "Texte français", "Texte anglais"]]
    rows += [[i, fr, en] for i, (fr, en) in enumerate(PAIRS)]
    rows += [
        [],
        [98, "deux\nlignes", "two\nlines"],
        [99, "seul", None],
        [100, 2024, 2024],
        [101, None, None, None, "x"],
    ]
    more = [("deux lignes", "two lines"), ("2024", "2024")]
    path = workbook(folder, "glossary.xlsx", rows)
    columns = {"fr": "Texte français", "en": "Texte anglais"}
    return People([path], [*PAIRS, *more], {"columns": 2}, {"format": "xlsx", "columns": columns})


def xlsx_without_header(folder: Path) -> People:
    """English first."""
    path = workbook(folder, "pairs.xlsx", [[en, fr] for fr, en in PAIRS])
    return People([path], PAIRS, {}, {"format": "xlsx", "columns": {"fr": 2, "en": 1}})


def table(rows: list[tuple[str, ...]], delimiter: str, end: str = "\r\n") -> str:
    """Rows as Excel saves them: quoted where they must be."""

    def cell(text: str) -> str:
        must = any(character in text for character in (delimiter, '"', "\n", ","))
        return '"{}"'.format(text.replace('"', '""')) if must else text

    return "".join(delimiter.join(map(cell, row)) + end for row in rows)


def csv_of_french_excel(folder: Path) -> People:
    """Semicolons, Windows-1252, CR LF, quotes."""
    path = folder / "classeur.csv"
    path.write_bytes(table([("Français", "Anglais"), *PAIRS], ";").encode("cp1252"))
    data = {"format": "csv", "encoding": "cp1252", "delimiter": "semicolon"}
    return People([path], PAIRS, {}, {**data, "columns": {"fr": "Français", "en": "Anglais"}})


def csv_with_sep(folder: Path) -> People:
    """A byte order mark and the line `sep=;`, then no header."""
    path = folder / "sep.csv"
    path.write_bytes(b"\xef\xbb\xbfsep=;\r\n" + table(PAIRS, ";").encode())
    data = {"format": "csv", "delimiter": "semicolon", "columns": {"fr": 1, "en": 2}}
    return People([path], PAIRS, {}, data)


def unicode_text_of_excel(folder: Path) -> People:
    """Tabs, UTF-16, quotes."""
    path = folder / "unicode.txt"
    path.write_bytes(table([("en", "fr"), *((en, fr) for fr, en in PAIRS)], "\t").encode("utf-16"))
    data = {"format": "csv", "encoding": "utf-16", "delimiter": "tab", "columns": BY_CODE}
    return People([path], PAIRS, {}, data)


def csv(folder: Path) -> People:
    """Commas, a line break in a field, a short row, a stray quote."""
    path = folder / "a.csv"
    rows: list[tuple[str, ...]] = [("id", "source", "target"), *(("1", fr, en) for fr, en in PAIRS)]
    path.write_text(table([*rows, ("2", "deux\nlignes", "two")], ",", "\n") + '3,seul\n4,un "mot",a word\n')
    data = {"format": "csv", "delimiter": "comma", "columns": {"fr": "source", "en": "target"}}
    return People([path], [*PAIRS, ("deux\nlignes", "two")], {"columns": 1, "quote": 1}, data)


def tsv(folder: Path) -> People:
    """Quotes that are text, a blank last line, a row without a tab, a line in another encoding."""
    path = folder / "a.tsv"
    lines = [
        "fr\ten",
        *("\t".join(pair) for pair in PAIRS),
        'un 5" tuyau\ta 5 inch pipe',
        "sans tabulation",
        "",
    ]
    path.write_bytes("\n".join(lines).encode() + "déjà\talready\n".encode("cp1252") + b"\n")
    more = [('un 5" tuyau', "a 5 inch pipe")]
    data = {"format": "tsv", "columns": BY_CODE}
    return People([path], [*PAIRS, *more], {"columns": 1, "invalid_utf8": 1}, data)


def manythings(folder: Path) -> People:
    """Anki's deck: English first, an attribution in the third column, no header."""
    path = folder / "fra.txt"
    rows = [
        f"{en}\t{fr}\tCC-BY 2.0 (France) Attribution: tatoeba.org #1 (CM) & #2 (sacredceltic)"
        for fr, en in PAIRS
    ]
    path.write_text("\n".join(rows) + "\n")
    return People([path], PAIRS, {}, {"format": "tsv", "columns": {"fr": 2, "en": 1}})


def tatoeba(folder: Path) -> People:
    """Tatoeba's sentence pairs: numbers before each side, a byte order mark."""
    path = folder / "Sentence pairs in French-English - 2026-11-01.tsv"
    rows = [f"{i}\t{fr}\t{i + 7}\t{en}" for i, (fr, en) in enumerate(PAIRS)]
    path.write_text("\ufeff" + "\n".join(rows) + "\n")
    return People([path], PAIRS, {}, {"format": "tsv", "columns": {"fr": 2, "en": 4}})


def moses(folder: Path, end: str = "", pack: Callable[[bytes], bytes] = bytes) -> People:
    """Two files; characters that some programs take for line ends, and blank lines."""
    pairs = [*PAIRS, ("un\u2028deux\x85", "one two"), ("", "")]
    paths = []
    for side, language in ((1, "en"), (0, "fr")):
        paths.append(folder / f"Books.en-fr.{language}{end}")
        paths[-1].write_bytes(pack("".join(f"{pair[side]}\n" for pair in pairs).encode()))
    return People(paths, pairs, {}, {"format": "text"})


def zst(text: bytes) -> bytes:
    return bytes(pyarrow.compress(text, codec="zstd", asbytes=True))


def moses_gz(folder: Path) -> People:
    """Two members, as `cat a.gz b.gz` makes."""
    return moses(folder, ".gz", lambda text: gzip.compress(text[:300]) + gzip.compress(text[300:]))


def moses_xz(folder: Path) -> People:
    return moses(folder, ".xz", lzma.compress)


def moses_zst(folder: Path) -> People:
    """Two frames."""
    return moses(folder, ".zst", lambda text: zst(text[:300]) + zst(text[300:]))


def opus(folder: Path) -> People:
    """OPUS' archive, with its other files."""
    pairs = moses(folder).pairs
    path = folder / "en-fr.txt.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README", "This is a corpus.")
        archive.writestr("LICENSE", "CC-BY")
        archive.write(folder / "Books.en-fr.en", "Books.en-fr.en")
        archive.write(folder / "Books.en-fr.fr", "Books.en-fr.fr")
        archive.writestr("Books.en-fr.xml", "<cesAlign/>")
    for language in ("fr", "en"):
        (folder / f"Books.en-fr.{language}").unlink()
    return People([path], pairs, {}, {"format": "text"})


def text_of_old_mac(folder: Path) -> People:
    """Mac Roman, in two files whose names say nothing."""
    paths = [folder / "gauche.txt", folder / "droite.txt"]
    for side, path in enumerate(paths):
        path.write_bytes("".join(f"{pair[side]}\n" for pair in PLAIN).encode("mac-roman"))
    return People(paths, PLAIN, {}, {"format": "text", "encoding": "mac-roman"})


def jsonl(folder: Path) -> People:
    """The Hub's form, a line that is cut, and a null."""
    path = folder / "data.jsonl"
    lines = [json.dumps({"translation": {"en": en, "fr": fr}}) for fr, en in PAIRS]
    path.write_text(
        "\n".join([*lines, '{"translation": {"fr": null, "en": "x"}}', '{"translation": {"fr"']) + "\n"
    )
    data = {"format": "jsonl", "columns": BY_CODE}
    return People([path], PAIRS, {"no_text": 1, "invalid_json": 1}, data)


def parquet(folder: Path) -> People:
    """Columns with other names, and a null."""
    path = folder / "0000.parquet"
    rows = [*PAIRS, (None, "x")]
    Dataset.from_dict({"english": [en for _, en in rows], "french": [fr for fr, _ in rows]}).to_parquet(path)
    columns = {"fr": "french", "en": "english"}
    return People([path], PAIRS, {"no_text": 1}, {"format": "parquet", "columns": columns})


FILES: list[Maker] = [
    *(tmx_of_a_tool, tmx_of_windows, po, po_of_old, xliff, xlsx, xlsx_without_header),
    *(csv_of_french_excel, csv_with_sep, unicode_text_of_excel, csv, tsv, manythings, tatoeba),
    *(moses, moses_gz, moses_xz, moses_zst, opus, text_of_old_mac, jsonl, parquet),
]


def bombs(folder: Path) -> Iterator[tuple[list[Path], str]]:
    """Files that would fill the memory, or leave their folder: what is given, and a part of the message."""
    entities = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(9))
    laughs = f'<!DOCTYPE x [<!ENTITY e0 "ha">{entities}]>'
    body = '<tmx version="1.4"><header/><body><tu><tuv xml:lang="fr"><seg>&e9;</seg></tuv></tu></body></tmx>'
    path = folder / "laughs.tmx"
    path.write_text(f'<?xml version="1.0"?>{laughs}{body}')
    yield [path], "Maximum entity amplification factor exceeded"
    path = folder / "passwords.tmx"
    path.write_text(f'<?xml version="1.0"?><!DOCTYPE tmx [<!ENTITY e9 SYSTEM "file:///etc/passwd">]>{body}')
    yield [path], "uses the XML entity &e9;"
    zeros = b"x\n" * 2_000_000
    for name, member in (("big.xlsx", "xl/workbook.xml"), ("big.zip", "a.tsv")):
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, zeros)
        yield [folder / name], "unpacks to more than"
    plain = workbook(folder, "plain.xlsx", [list(pair) for pair in PAIRS])
    path = folder / "laughs.xlsx"
    with zipfile.ZipFile(plain) as whole, zipfile.ZipFile(path, "w") as archive:
        for name in whole.namelist():
            text = whole.read(name).decode()
            if name == "xl/worksheets/sheet1.xml":
                text = laughs + text.replace("chat", "&e9;")
            archive.writestr(name, text)
    yield [path], "amplification"
    for end, compress in (("gz", gzip.compress), ("xz", lzma.compress), ("zst", zst)):
        path = folder / f"big.tsv.{end}"
        path.write_bytes(compress(zeros))
        yield [path], "unpacks to more than"
    with zipfile.ZipFile(folder / "inner.zip", "w") as archive:
        archive.writestr("big.tsv.gz", gzip.compress(zeros))
    yield [folder / "inner.zip"], "unpacks to more than"
    with zipfile.ZipFile(folder / "slip.zip", "w") as archive:
        archive.writestr("../../outside.fr", "un\n")
        archive.writestr("a.en", "one\n")
    yield [folder / "slip.zip"], "may lead out of the archive"
