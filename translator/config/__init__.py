"""The configuration: its typed sections, and the YAML files that they are read from."""

from translator.config.sections import (
    Config,
    DataConfig,
    HardwareConfig,
    InvalidConfigError,
    ModelConfig,
    NoiseConfig,
    RunConfig,
    SearchConfig,
    Section,
    TokenizerConfig,
    TrainConfig,
    ValidationConfig,
    validate,
)

__all__ = [
    "Config",
    "DataConfig",
    "HardwareConfig",
    "InvalidConfigError",
    "ModelConfig",
    "NoiseConfig",
    "RunConfig",
    "SearchConfig",
    "Section",
    "TokenizerConfig",
    "TrainConfig",
    "ValidationConfig",
    "validate",
]
