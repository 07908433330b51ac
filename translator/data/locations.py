"""Finds the local files to which names in `data.files` refer, and downloads files whose names are URLs."""

import hashlib
from pathlib import Path

from translator import console
from translator.config import DataConfig
from translator.data.opening import zip_member
from translator.data.tables import download, first_line
from translator.errors import DataError
from translator.files import atomic_write, sha256

#: Ends of the names of packed files.
_PACKED = (".gz", ".xz", ".zst")


def local_paths(config: DataConfig, split: str) -> dict[str, Path]:
    """Return the local paths of a split's files, by language. Download a file first if its name is a URL.

    Raises:
        DataError: a file does not exist, is not a regular file, or cannot be downloaded.
    """
    named = config.files[split]
    paths = {}
    for language in (config.source_language, config.target_language):
        name = named[language] if isinstance(named, dict) else named.replace("{lang}", language)
        if config.root is not None:
            name = f"{config.root.rstrip('/')}/{name}"
        if name.startswith(("http://", "https://")):
            address, zipped, member = name.partition(".zip/")
            paths[language] = _fetch(config, f"{address}.zip") / member if zipped else _fetch(config, name)
        else:
            paths[language] = _plain_or_packed(Path(name).expanduser(), config.root)
    return paths


def cache_folder(config: DataConfig, name: str) -> Path:
    """Return the path of a folder in `data.cache`. If the folder does not exist, create it.

    Raises:
        DataError: the folder cannot be created.
    """
    folder = Path(config.cache).expanduser() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"data.cache={config.cache}: cannot be made: {error.strerror}") from None
    return folder


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file of the corpus; for a file in a zip archive, the archive's and the name.

    Raises:
        DataError: the file cannot be read.
    """
    archive, name = zip_member(path) or (path, "")
    try:
        return f"{sha256(archive)}/{name}" if name else sha256(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; check data.root and data.files") from None


def short_hash(value: object) -> str:
    """Return the first 32 hexadecimal digits of the SHA-256 of a value's `repr`."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:32]


def _plain_or_packed(path: Path, root: str | None) -> Path:
    """Return the path of a file. If the file does not exist, try the path with `.gz`, `.xz` or `.zst`.

    If the path ends with one of these, it is tried without.

    Raises:
        DataError: no such file exists, or the first of them that exists is not a regular file.
    """
    if zip_member(path) is not None:
        return path
    is_packed = path.suffix in _PACKED
    others = [path.with_suffix("")] if is_packed else [path.with_name(path.name + end) for end in _PACKED]
    for candidate in (path, *others):
        if candidate.is_file():
            return candidate
        if candidate.is_dir():
            raise DataError(f"{candidate} is a folder; name a file in it, in data.files")
        if candidate.exists():
            raise DataError(
                f"{candidate} is a pipe or a device, and a corpus is read more than once; "
                "write it into a file and name that"
            )
    where = ""
    if not path.is_absolute():
        of_root = "data.root is not set" if root is None else f"data.root={root}"
        where = f"; {of_root}, and a relative path starts at the working folder, so it was {path.absolute()}"
    raise DataError(f"{path}: no such file, nor {others[0].name}{where}; check data.root and data.files")


def _fetch(config: DataConfig, url: str) -> Path:
    """Return the local copy of a remote file.

    If the server has a new version, or if the local copy is damaged, the file is downloaded again. If the
    server cannot be reached, an undamaged copy is used, although the server may have a new version.

    Raises:
        DataError: the file cannot be downloaded, and there is no undamaged copy.
    """
    folder = cache_folder(config, "downloads")
    # The record is a file with two lines: the path of the local copy and its SHA-256. A record from an
    # early version may lack the SHA-256. In this case, the copy is taken to be undamaged.
    record = folder / f"{short_hash(url)}.path"
    lines = record.read_text(errors="replace").split("\n") if record.is_file() else []
    known, digest = [*lines, "", ""][:2]

    def is_damaged(path: Path) -> bool:
        return str(path) == known and digest not in ("", file_sha256(path))

    try:
        path = download(url, folder)
        if is_damaged(path):
            console.note(f"{path}: damaged since it was fetched; fetching {url} again")
            path = download(url, folder, force=True)
    except (OSError, ValueError) as error:
        if Path(known).is_file() and not is_damaged(Path(known)):
            console.note(f"{url}: cannot be reached; using the copy fetched before")
            return Path(known)
        raise DataError(
            f"{url}: cannot be fetched ({first_line(error)}); check the address and the network, or put the "
            "files into a folder and give data.root=FOLDER"
        ) from None
    atomic_write(record, f"{path}\n{file_sha256(path)}".encode())
    return path
