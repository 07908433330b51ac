"""Translate text or Parquet of any size with Ray Data, block by block. Needs the extra `ray`.

cat $(python scripts/translate_with_ray.py corpus.fr --model MODEL --output OUT --workers 8)/* > corpus.en

A block gets a file, whole or not at all: the lines that `translator translate` prints, or all columns and
`translation`. The folder that is printed is for this input, model and settings; it keeps finished blocks.
"""

import argparse
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pyarrow import parquet

from translator import Translator
from translator.cli.stream import decode_line
from translator.data.locations import short_hash
from translator.errors import DataError, PasserelleError
from translator.files import atomic_write, sha256


def parts(path: Path, n_lines: int, column: str) -> Iterator[tuple[int, int, int]]:
    """Yield (group, start, end) of each block of a file: bytes of text, or rows of a row group of Parquet."""
    if path.suffix == ".parquet":
        metadata = parquet.read_metadata(path)
        if column not in metadata.schema.names:
            raise DataError(f"{path} has no column {column!r}; it has {', '.join(metadata.schema.names)}")
        for group in range(metadata.num_row_groups):
            for start in range(0, metadata.row_group(group).num_rows, n_lines):
                yield group, start, start + n_lines
    else:
        with path.open("rb") as file:
            file.seek(3 if file.read(3) == b"\xef\xbb\xbf" else 0)  # a byte order mark
            while n_bytes := sum(map(len, islice(file, n_lines))):
                yield 0, file.tell() - n_bytes, file.tell()


class BlockTranslator:
    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.translator = Translator.load(options.model, device=options.device, precision=options.precision)

    def __call__(self, block: dict) -> dict:
        (group, start, end), output, content = block["part"], Path(block["output"]), io.BytesIO()
        with open(block["input"], "rb") as file:
            if output.suffix == ".parquet":
                rows = parquet.ParquetFile(file).read_row_group(group)[start:end]
                found = self._translate([text or "" for text in rows[self.options.column].to_pylist()])
                parquet.write_table(rows.append_column("translation", [found]), content)
            else:
                file.seek(start)
                lines = [decode_line(raw) for raw in io.BytesIO(file.read(end - start))]
                for text, line in zip(self._translate([line.text for line in lines]), lines, strict=True):
                    content.write(f"{text}{line.ending}\n".encode())
        atomic_write(output, content.getvalue())
        return block

    def _translate(self, texts: list[str]) -> list[str]:
        return [found.text for found in self.translator.translate(texts, beam_size=self.options.beam)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("inputs", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--column", default="fr", help="of Parquet [default: fr]")
    parser.add_argument("--block-lines", type=int, default=10_000)
    parser.add_argument("--beam", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    blocks = []
    try:
        Translator.load(options.model, precision=options.precision)  # its errors appear once and in one line
        digests = [sha256(path) for path in (*options.inputs, options.model / "manifest.json")]
        settings = [options.column, options.block_lines, options.beam, options.precision]
        folder = options.output / short_hash([digests, settings])
        folder.mkdir(parents=True, exist_ok=True)
        for path in options.inputs:
            for part in parts(path, options.block_lines, options.column):
                output = folder / f"{len(blocks):07}{'.parquet' if path.suffix == '.parquet' else '.txt'}"
                blocks.append({"input": str(path), "part": part, "output": str(output)})
    except (PasserelleError, OSError, ValueError) as error:
        parser.exit(1, f"error: {error}\n")
    if missing := [block for block in blocks if not Path(block["output"]).exists()]:
        import ray.data  # here, because `--help` does without

        workers, on_gpu = ray.data.ActorPoolStrategy(size=options.workers), "cuda" in options.device
        ray.data.from_items(missing, override_num_blocks=len(missing)).map(
            BlockTranslator, fn_constructor_args=[options], compute=workers, num_gpus=int(on_gpu)
        ).materialize()
    print(folder)


if __name__ == "__main__":
    main()
