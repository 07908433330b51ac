"""One validation: the loss of reference translations, and BLEU of the model's own translations."""

import math
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor, distributed

from translator.config import Config
from translator.data.batching import Batch, make_batch
from translator.evaluation.metrics import bleu
from translator.model.transformer import Transformer
from translator.training.data import VALIDATION_CHUNK, TranslationData, ValidationLines
from translator.translation.inference import Translator
from translator.translation.splitting import learnt_single_sentences


class Validation:
    """Accumulates losses and translations over this rank's shard of the validation split."""

    def __init__(self, model: Transformer, config: Config, data: TranslationData):
        """Start without any losses or translations."""
        self.model, self.config, self.data = model, config, data
        self._sums = [0.0, 0]  # negative log-likelihood, number of tokens
        self._hypotheses: dict[int, str] = {}

    @cached_property
    def _translator(self) -> Translator:
        """A translator that uses the model in training.

        It is created on first use, not in `__init__`, because a callback may put averaged weights into the
        model after `__init__`.
        """
        prepared = self.data.prepared
        splits = learnt_single_sentences(prepared.multi_sentence_share)
        return Translator(self.model, prepared.tokenizer, self.config, splits_sentences=splits)

    def add_loss(
        self, lines: ValidationLines, loss: Callable[[Batch], tuple[Tensor, Tensor]], device: torch.device
    ) -> float:
        """Compute the loss of some lines by teacher forcing, and add it to the sums.

        Blank and over-long lines are left out.

        Args:
            lines: the lines.
            loss: function that returns the smoothed loss and the negative log-likelihood of a batch, as sums.
            device: the device on which `loss` computes.

        Returns:
            The negative log-likelihood of all lines that have been added so far.
        """
        encode, max_length = self.data.prepared.tokenizer.encode_batch, self.config.model.max_length
        pairs = [
            (source, target)
            for source, target in zip(encode(lines.sources), encode(lines.references), strict=True)
            if source and target and max(len(source), len(target)) < max_length
        ]
        if pairs:
            batch = make_batch([s for s, _ in pairs], [t for _, t in pairs]).to(device)
            self._sums[0] += float(loss(batch)[1])
            self._sums[1] += batch.n_step_tokens
        return self._sums[0]

    def translate(self, lines: ValidationLines) -> None:
        """Translate some lines, including blank and over-long ones."""
        translations = self._translator.translate(
            lines.sources, beam_size=self.config.validation.beam_size, batch_size=VALIDATION_CHUNK
        )
        texts = [translation.text for translation in translations]
        self._hypotheses |= dict(zip(lines.rows, texts, strict=True))

    def gather(self, n_ranks: int) -> tuple[dict[str, float], list[str]]:
        """Combine the results of all ranks.

        Returns:
            The metrics over all lines (the loss per token, without label smoothing, as in training; its
            perplexity; and BLEU; see `_bleu`), and the translations in the order of the lines.
        """
        shards = [(self._hypotheses, self._sums)]
        if n_ranks > 1:
            shards = shards * n_ranks
            distributed.all_gather_object(shards, (self._hypotheses, self._sums))
        by_row = {row: text for hypotheses, _ in shards for row, text in hypotheses.items()}
        texts = [by_row[row] for row in range(len(self.data.references))]
        nll, n_tokens = (sum(sums[i] for _, sums in shards) for i in range(2))
        loss = nll / max(1, n_tokens)
        metrics = {"val_loss": loss, "val_perplexity": math.exp(min(50.0, loss)), **self._bleu(texts)}
        return metrics, texts

    def _bleu(self, texts: list[str]) -> dict[str, float]:
        """Return BLEU; with `data.sources`, that of each source and the mean, weighted as in training."""
        references, lines = self.data.references, self.data.validation_lines
        if not lines:
            return {"val_bleu": bleu(texts, references)}
        weights = {source.name: source.weight for source in self.config.data.sources}
        scores = {name: bleu(texts[part], references[part]) for name, part in lines.items()}
        mean = sum(weights[name] * score for name, score in scores.items()) / sum(
            weights[name] for name in scores
        )
        return {"val_bleu": mean, **{f"val_bleu_{name}": score for name, score in scores.items()}}
