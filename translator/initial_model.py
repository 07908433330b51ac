"""The model from which a training starts, if `train.init_from` names one."""

import json
from pathlib import Path

from translator.config import Config
from translator.config.file import config_from_json
from translator.errors import ConfigError
from translator.model_folder import LoadedModel, load_model_folder, model_of

#: Sections whose keys are those of the initial model unless they are given.
SECTIONS = ("tokenizer", "model")
#: Keys of these sections that may be given another value than in the initial model; only training uses them.
MAY_DIFFER = ("tokenizer.dropout", "model.dropout", "model.attention_dropout", "model.activation_dropout")


def initial_folder(config: Config) -> Path | None:
    """Return the model folder that `train.init_from` names, itself or by the run that contains it."""
    given = config.train.init_from
    return None if given is None else model_of(Path(given).expanduser())


def load_initial_model(config: Config, folder: Path | None) -> tuple[Config, LoadedModel | None]:
    """Load the initial model, and complete the configuration with its vocabulary and shape.

    Args:
        config: the configuration.
        folder: the model folder, or None if training starts afresh.

    Returns:
        The configuration in which the keys of `tokenizer` and `model`, and `data.input_map`, have the values
        of the initial model if they were not given; and the model. If `folder` is None, the configuration
        unchanged and None.

    Raises:
        ModelError: the folder is missing or damaged.
        ConfigError: the model translates between other languages, or a given key has another value than in
            the model.
    """
    if folder is None:
        return config, None
    initial = load_model_folder(folder)
    where = f"train.init_from={config.train.init_from}"
    languages, wanted = initial.config.data.direction, config.data.direction
    if languages != wanted:
        raise ConfigError(f"{where}: the model translates {languages}, not {wanted}; choose another model")
    values = json.loads(config.to_json())
    of_model = initial.config.model_dump(mode="json")
    keys = [("data", "input_map"), *((section, key) for section in SECTIONS for key in of_model[section])]
    differing = []
    for section, key in keys:
        value = of_model[section][key]
        if key not in getattr(config, section).model_fields_set:
            values[section][key] = value
        elif values[section][key] != value and f"{section}.{key}" not in MAY_DIFFER:
            differing.append(f"{section}.{key}={json.dumps(values[section][key])} ({json.dumps(value)})")
    if differing:
        raise ConfigError(
            f"{where}: the model has other values, in brackets: {', '.join(differing)}; leave these keys out"
        )
    return config_from_json(json.dumps(values), where=where), initial
