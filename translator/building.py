"""Build a model as a configuration describes it, and look at its weights."""

from collections.abc import Mapping

from torch import Tensor

from translator.config import ModelConfig
from translator.model.layers import LayerOptions
from translator.model.transformer import Transformer


def build_model(config: ModelConfig, vocabulary_size: int) -> Transformer:
    """Build a model of the configured shape with freshly initialised weights."""
    options = LayerOptions(
        width=config.width,
        n_heads=config.n_heads,
        feed_forward=config.feed_forward,
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
        activation_dropout=config.activation_dropout,
        activation=config.activation,
        norm=config.norm,
    )
    return Transformer(
        vocabulary_size,
        options,
        n_encoder_layers=config.n_encoder_layers,
        n_decoder_layers=config.n_decoder_layers,
        max_length=config.max_length,
        position_base=config.position_base,
    )


def n_parameters(model: Transformer) -> int:
    """Return the number of trainable parameters. Weights that several layers share are counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def not_finite(weights: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor with an infinite or NaN value, or None if there is none."""
    return next((name for name, value in weights.items() if not value.isfinite().all()), None)
