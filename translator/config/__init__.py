"""The configuration: its typed sections, and the YAML files that they are read from."""

from translator.config.base import Section
from translator.config.data import DataConfig, NoiseConfig
from translator.config.sections import (
    MIN_FOR_DIGIT_PAIRS,
    Config,
    HardwareConfig,
    InvalidConfigError,
    ModelConfig,
    RunConfig,
    SearchConfig,
    TokenizerConfig,
    TrainConfig,
    ValidationConfig,
    validate,
)

__all__ = [
    "MIN_FOR_DIGIT_PAIRS",
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
