"""Initialisation of the weights of a model."""

from torch import nn

from translator.model.attention import Attention


def initialise(module: nn.Module) -> None:
    """Initialise all weights in place, drawing from torch's global generator.

    The weights of linear layers are Xavier uniform (Glorot & Bengio 2010), separately for keys and values.
    All biases are 0, and norms have scale 1. Embeddings have a standard deviation of 1/√D, so that
    √D · embedding and the first logits are of order one.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=part.embedding_dim**-0.5)
        elif isinstance(part, nn.LayerNorm):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
    for part in module.modules():
        if isinstance(part, Attention):
            for weight in part.key_value.weight.data.chunk(2):
                nn.init.xavier_uniform_(weight)
