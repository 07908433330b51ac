"""The test set that `evaluate` translates: a split of a configuration's data, or files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from translator.cli.options import parallel_lines
from translator.errors import UsageError

if TYPE_CHECKING:
    from translator.config import Config


class TestSet(NamedTuple):
    """The sentences that a translator is evaluated on, with their reference translations.

    Attributes:
        name: name of the split or of the source file.
        sources: lines to translate.
        references: one or more sets of reference translations. Each set has one translation of every line.
        origins: for each line, the name of its source (if the split comes from several) or of the part of
            the phrasebook's generator that produced it; see `corpus.origins`.
    """

    name: str
    sources: list[str]
    references: list[list[str]]
    origins: list[str] | None


def read_test_set(
    config: "Config",
    overrides: Sequence[str],
    *,
    split: str | None,
    data: Path | None,
    source: Path | None,
    references: Sequence[Path],
) -> TestSet:
    """Read the source and reference files if they are given, and otherwise a split of a configuration's data.

    That configuration is in the file `data` or, if this is None, the model's.
    """
    if source is not None:
        pairs = [parallel_lines(source, path) for path in references]
        return TestSet(source.name, pairs[0][0], [targets for _, targets in pairs], None)
    from translator.config.file import load_config, with_overrides
    from translator.data.corpus import origins, second_references
    from translator.data.preparation import open_evaluation_split

    name = "test" if split is None else split
    of_model = config.data.direction
    config = load_config(data, overrides) if data else with_overrides(config, overrides)
    if data is not None and config.data.direction != of_model:
        problem = f"the data are {config.data.direction}, and the model translates {of_model}"
        raise UsageError(f"--data {data}: {problem}")
    rows = open_evaluation_split(config.data, name, seed=config.train.seed)
    second = second_references(config.data, name)
    targets = [list(rows["target"]), *([second] if second is not None else [])]
    labels = origins(config.data, name, seed=config.train.seed)
    return TestSet(name, list(rows["source"]), targets, labels)
