"""Conversion of a model to CTranslate2, and translation with the converted model."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import torch
from ctranslate2.specs import TransformerSpec
from ctranslate2.specs.common_spec import Activation
from torch import Tensor, nn

from translator.building import not_finite
from translator.config import ModelConfig, SearchConfig
from translator.data.tokenizer import Tokenizer
from translator.errors import ExportError
from translator.model.attention import Attention
from translator.model.layers import Layer, Stack
from translator.model.positions import sinusoids
from translator.model.transformer import Transformer
from translator.model_folder import NOT_FINITE, LoadedModel
from translator.symbols import BOS, EOS, UNK

VERSION = str(ctranslate2.__version__)

#: Minimum number of rows of the position table. By default, CTranslate2 truncates sources to 1024 tokens, so
#: it may read up to 1024 rows.
N_POSITIONS = 1024

#: Maps our name of each activation function to CTranslate2's name. Both programs compute the exact GELU, not
#: its tanh approximation.
ACTIVATIONS = {"relu": Activation.RELU, "gelu": Activation.GELU, "silu": Activation.SWISH}


def convert(folder: Path, loaded: LoadedModel) -> "CTranslate2Engine":
    """Write a model with `write_model`, and load what was written."""
    write_model(folder, loaded.model, loaded.tokenizer, loaded.config.model)
    return CTranslate2Engine(folder, loaded.tokenizer)


def write_model(folder: Path, model: Transformer, tokenizer: Tokenizer, config: ModelConfig) -> None:
    """Write a CTranslate2 model in float32; CTranslate2 can quantise it while loading.

    Args:
        folder: an existing folder. `model.bin`, `config.json` and `shared_vocabulary.json` are written there.
        model: the model to convert.
        tokenizer: the model's tokenizer, whose pieces become the vocabulary.
        config: the model's configuration.

    Raises:
        ExportError: a weight is not finite; nothing is written.
    """
    if name := not_finite(model.state_dict()):
        raise ExportError(f"{name} has {NOT_FINITE}, so the model cannot translate; export another model")
    spec = _specification(model, config)
    pieces = tokenizer.pieces(range(len(tokenizer)))
    spec.register_source_vocabulary(pieces)
    spec.register_target_vocabulary(pieces)
    spec.config.bos_token, spec.config.eos_token = pieces[BOS], pieces[EOS]
    spec.config.unk_token, spec.config.decoder_start_token = pieces[UNK], pieces[BOS]
    spec.config.add_source_eos = True  # our sources end with the end symbol, but have no start symbol
    spec.config.layer_norm_epsilon = next(m.eps for m in model.modules() if isinstance(m, nn.LayerNorm))
    spec.validate()
    spec.optimize()
    spec.save(str(folder))


def _specification(model: Transformer, config: ModelConfig) -> Any:
    """Return a CTranslate2 specification that describes the model and contains its weights."""
    spec = TransformerSpec.from_config(
        (config.n_encoder_layers, config.n_decoder_layers),
        config.n_heads,
        pre_norm=config.norm == "pre",
        activation=ACTIVATIONS[config.activation],
    )
    embedding = _values(model.embedding.weight)
    # CTranslate2's sinusoids start at position 1 and have other frequencies, so our sinusoids are written.
    positions = sinusoids(max(N_POSITIONS, config.max_length), config.width, base=config.position_base)
    spec.encoder.embeddings[0].weight = spec.decoder.embeddings.weight = embedding
    spec.decoder.projection.weight = embedding
    for part, stack in ((spec.encoder, model.encoder), (spec.decoder, model.decoder)):
        part.scale_embeddings = True  # CTranslate2 will multiply the embeddings by √width
        part.position_encodings.encodings = positions
        _fill_stack(part, stack)
    return spec


def _fill_stack(spec: Any, stack: Stack) -> None:
    if isinstance(stack.norm, nn.LayerNorm):
        _fill_norm(spec.layer_norm, stack.norm)
    for part, layer in zip(spec.layer, stack.layers, strict=True):
        assert isinstance(layer, Layer)
        ours = layer.self_attention
        _fill_linear(part.self_attention.linear[0], ours.query, ours.key_value)
        _fill_linear(part.self_attention.linear[1], ours.output)
        _fill_norm(part.self_attention.layer_norm, layer.self_norm)
        if isinstance(layer.cross_attention, Attention):
            ours = layer.cross_attention
            for place, linear in enumerate((ours.query, ours.key_value, ours.output)):
                _fill_linear(part.attention.linear[place], linear)
            _fill_norm(part.attention.layer_norm, layer.cross_norm)
        _fill_linear(part.ffn.linear_0, layer.feed_forward.inner)
        _fill_linear(part.ffn.linear_1, layer.feed_forward.outer)
        _fill_norm(part.ffn.layer_norm, layer.feed_norm)


def _fill_linear(spec: Any, *linears: nn.Linear) -> None:
    """Fill one linear layer of CTranslate2 with the parameters of one or more of our linear layers.

    The weights (out, in) and the biases (out,) of our layers are concatenated along the dimension `out`.
    """
    spec.weight = torch.cat([_values(linear.weight) for linear in linears])
    spec.bias = torch.cat([_values(linear.bias) for linear in linears])


def _fill_norm(spec: Any, norm: nn.LayerNorm) -> None:
    spec.gamma, spec.beta = _values(norm.weight), _values(norm.bias)


def _values(parameter: Tensor) -> Tensor:
    return parameter.detach().cpu().float().contiguous()


class CTranslate2Engine:
    """An exported model, run by CTranslate2 on the CPU in float32, with our search options."""

    same_search = False

    def __init__(self, folder: Path, tokenizer: Tokenizer):
        """Load a folder written by `write_model`."""
        threads = torch.get_num_threads()
        self._translator = ctranslate2.Translator(
            str(folder), device="cpu", compute_type="float32", inter_threads=1, intra_threads=threads
        )
        self._pieces = tokenizer.pieces(range(len(tokenizer)))
        self._ids = {piece: number for number, piece in enumerate(self._pieces)}
        self._never = [[self._pieces[number]] for number in tokenizer.never_emitted]

    def search(
        self,
        sources: Sequence[Sequence[int]],
        max_lengths: Sequence[int],
        options: SearchConfig,
        *,
        batch_size: int = 64,
    ) -> list[list[int]]:
        """Translate tokenized sources.

        Args:
            sources: token ids, without start and end symbols.
            max_lengths: maximum length of each output, end symbol included. CTranslate2 has one limit per
                call, so sources with equal limits are translated together.
            options: the search settings. Only beam size and length penalty are used.
            batch_size: maximum number of sources decoded together.

        Returns:
            For each source, in order, the token ids of the best output.
        """
        rows_by_length = defaultdict(list)
        for row, max_length in enumerate(max_lengths):
            rows_by_length[max_length].append(row)
        outputs: list[list[int]] = [[] for _ in sources]
        for max_length, rows in rows_by_length.items():
            results = self._translator.translate_batch(
                [[self._pieces[number] for number in sources[row]] for row in rows],
                beam_size=options.beam_size,
                length_penalty=options.length_penalty,
                min_decoding_length=1,
                max_decoding_length=max(1, max_length - 1),  # CTranslate2 does not count the end symbol
                max_input_length=0,
                suppress_sequences=self._never,
                max_batch_size=batch_size,
            )
            for row, result in zip(rows, results, strict=True):
                outputs[row] = [self._ids[piece] for piece in result.hypotheses[0]]
        return outputs
