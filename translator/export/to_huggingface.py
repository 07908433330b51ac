"""Conversion of a model to the format of Hugging Face Transformers, and translation with the converted model.

Pegasus is the model of Transformers that computes what ours computes, names aside: pre-norm layers and a
final norm, embeddings scaled by √D and tied to the output, and sinusoids, sines first. It reads the positions
from the file of the weights, so a model may have any `model.position_base`.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig, PegasusConfig
from transformers.utils import logging

from translator.config import Config, SearchConfig
from translator.data.tokenizer import Tokenizer
from translator.errors import ExportError
from translator.export.from_huggingface import pegasus_names
from translator.export.tokenizer_json import tokenizer_json
from translator.model.positions import sinusoids
from translator.model_folder import WEIGHTS, LoadedModel
from translator.symbols import BOS, EOS, PAD
from translator.translation.inference import Translator

VERSION = str(transformers.__version__)

#: Minimum number of positions. Pegasus cannot read a text with more tokens.
N_POSITIONS = 1024

_SPECIAL = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS, "decoder_start_token_id": BOS}


def convert(folder: Path, loaded: LoadedModel) -> "TransformersEngine":
    """Write a model with `write_model`, and load what was written."""
    write_model(folder, loaded)
    return TransformersEngine(folder)


def write_model(folder: Path, loaded: LoadedModel) -> None:
    """Write all files that Transformers reads into an existing folder, the weights in float32.

    Raises:
        ExportError: Transformers has no such model. Nothing is written.
    """
    config, n_pieces = loaded.config, len(loaded.tokenizer)
    if config.model.norm != "pre":
        raise ExportError(
            f"model.norm={config.model.norm}: Transformers' Pegasus has its norms before each sublayer; "
            "train with model.norm=pre, or export with --format ctranslate2"
        )
    model = transformers.PegasusForConditionalGeneration(_pegasus_config(config, n_pieces))
    weights: dict[str, Tensor] = {}
    for name, value in loaded.model.state_dict().items():
        try:
            theirs = pegasus_names(name)
        except KeyError:
            raise ExportError(
                f"{name}: Transformers' Pegasus has no such weight; export with --format ctranslate2"
            ) from None
        weights |= dict(zip(theirs, value.chunk(len(theirs)), strict=True))
    table = sinusoids(
        model.config.max_position_embeddings, config.model.width, base=config.model.position_base
    )
    weights |= {f"model.{stack}.embed_positions.weight": table for stack in ("encoder", "decoder")}
    model.load_state_dict(weights, strict=False)
    model.generation_config = _generation_config(config, loaded.tokenizer)
    with _quiet():
        model.save_pretrained(folder)
    # Transformers lets only its owner read it.
    (folder / WEIGHTS).chmod((folder / "config.json").stat().st_mode)
    kind, input_map = config.tokenizer.kind, config.data.input_map is not None
    content = tokenizer_json(loaded.tokenizer, kind=kind, input_map=input_map)
    _write_json(folder / "tokenizer.json", content)
    pieces = loaded.tokenizer.pieces(range(4))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.model.max_length,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,  # a typed "</s>" is text
        **{
            f"{name}_token": pieces[i] for name, i in zip(("pad", "unk", "bos", "eos"), range(4), strict=True)
        },
    }
    _write_json(folder / "tokenizer_config.json", settings)


def _pegasus_config(config: Config, vocabulary_size: int) -> PegasusConfig:
    model = config.model
    return PegasusConfig(
        vocab_size=vocabulary_size,
        d_model=model.width,
        encoder_layers=model.n_encoder_layers,
        decoder_layers=model.n_decoder_layers,
        encoder_attention_heads=model.n_heads,
        decoder_attention_heads=model.n_heads,
        encoder_ffn_dim=model.feed_forward,
        decoder_ffn_dim=model.feed_forward,
        activation_function=model.activation,
        dropout=model.dropout,
        attention_dropout=model.attention_dropout,
        activation_dropout=model.activation_dropout,
        max_position_embeddings=max(N_POSITIONS, model.max_length),
        scale_embedding=True,
        forced_eos_token_id=None,
        **_SPECIAL,
    )


def _generation_config(config: Config, tokenizer: Tokenizer) -> GenerationConfig:
    """Return the settings with which the search of Transformers is ours, except that its limit is fixed."""
    search = config.search
    beam = {"num_beams": search.beam_size, "length_penalty": search.length_penalty, "early_stopping": True}
    return GenerationConfig(
        **(beam if search.beam_size > 1 else {}),
        max_length=config.model.max_length + 1,  # with the start symbol
        suppress_tokens=tokenizer.never_emitted,
        begin_suppress_tokens=[EOS],
        **_SPECIAL,
    )


class TransformersEngine:
    """An exported model, run by Transformers on the CPU in float32, with our search options."""

    same_search = True

    def __init__(self, folder: Path):
        """Load a folder written by `write_model`, as its users do."""
        with _quiet():
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model = AutoModelForSeq2SeqLM.from_pretrained(folder, local_files_only=True).eval()

    def search(
        self,
        sources: Sequence[Sequence[int]],
        max_lengths: Sequence[int],
        options: SearchConfig,
        *,
        batch_size: int = 64,
    ) -> list[list[int]]:
        """Translate tokenized sources with the exported settings, which do not include `max_lengths`.

        Returns:
            For each source, in order, the token ids of the best output.
        """
        outputs: list[list[int]] = [[] for _ in sources]
        beam = {"num_beams": options.beam_size, "early_stopping": options.beam_size > 1}
        order = sorted(range(len(sources)), key=lambda row: len(sources[row]))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = self._tokenizer.pad(
                {"input_ids": [[*sources[row], EOS] for row in rows]}, return_tensors="pt"
            )
            with torch.inference_mode(), _quiet():
                found = self._model.generate(**batch, **beam).tolist()
            for row, ids in zip(rows, found, strict=True):
                outputs[row] = [i for i in ids if i not in (PAD, BOS, EOS)]
        return outputs

    def check_tokenizer(self, translator: Translator, lines: Sequence[str]) -> None:
        """Check that lines have the same ids as ours, and that the ids have the same text.

        Raises:
            ExportError: a line differs.
        """
        ours = translator.tokenizer.encode_batch([*map(translator.mapped, lines)])
        with _quiet():
            theirs = self._tokenizer([*lines])["input_ids"]
        texts = self._tokenizer.batch_decode(theirs, skip_special_tokens=True)
        for number, (line, ids, found, text) in enumerate(zip(lines, ours, theirs, texts, strict=True), 1):
            if [*ids, EOS] != found or translator.tokenizer.decode(ids) != text:
                raise ExportError(
                    f"the exported tokenizer differs: line {number}, {line!r}, has the ids {found} instead "
                    f"of {[*ids, EOS]}, and they become {text!r}; nothing was written"
                )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the progress bars and the hints of Transformers."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
