"""PyTorch's own `nn.Transformer` in a plain LightningModule: what one gets by writing as little as possible.

Measured: Lightning's loop over real steps (forward, F.cross_entropy with label smoothing, backward, clipping
at 1.0, Adam). Pre-norm, one tied embedding, Lightning's DDP for more than one process. It trains only:
nn.Transformer has no decoding.

Settings tried (width 128, 4 + 4 layers, AMD Zen 4): bfloat16 takes a quarter less CPU time than float32; two
processes of one thread beat one of two threads; fused Adam gains nothing and forbids clipping in bfloat16;
`tune_malloc` saves a few per cent.
"""

import math
from collections.abc import Iterator

import lightning
import torch
from jobs import BOS, PAD, Job, Rows, Stopwatch, pad, read_batches, run, shares, use_threads
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset


class PlainTransformer(lightning.LightningModule):
    def __init__(self, job: Job):
        super().__init__()
        self.job = job
        width = job["width"]
        self.embedding = nn.Embedding(job["vocabulary_size"], width, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.transformer = nn.Transformer(
            width,
            job["heads"],
            job["encoder_layers"],
            job["decoder_layers"],
            job["feed_forward"],
            job["dropout"],
            batch_first=True,
            norm_first=True,
        )
        self.dropout = nn.Dropout(job["dropout"])
        frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        angle = torch.arange(1024)[:, None] * frequency
        self.register_buffer("positions", torch.cat([angle.sin(), angle.cos()], 1))

    def embed(self, ids: Tensor) -> Tensor:
        scaled = self.embedding(ids) * math.sqrt(self.embedding.embedding_dim)
        return self.dropout(scaled + self.positions[: ids.size(1)])

    def forward(self, source: Tensor, target_in: Tensor) -> Tensor:
        length = target_in.size(1)
        states = self.transformer(
            self.embed(source),
            self.embed(target_in),
            tgt_mask=torch.ones(length, length, dtype=torch.bool).triu(1),
            src_key_padding_mask=source == PAD,
            memory_key_padding_mask=source == PAD,
            tgt_is_causal=True,
        )
        return F.linear(states, self.embedding.weight)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        source, target_in, target_out = batch
        logits = self(source, target_in)
        return F.cross_entropy(
            logits.flatten(0, 1),
            target_out.flatten(),
            ignore_index=PAD,
            label_smoothing=self.job["label_smoothing"],
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.job["learning_rate"], betas=(0.9, 0.98))


class Endless(IterableDataset):
    """The process's share of the batches as tensors, without end."""

    def __init__(self, batches: list[dict[str, Rows]], trainer: lightning.Trainer):
        self.batches, self.trainer = batches, trainer

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        mine = shares(self.batches, self.trainer.global_rank, self.trainer.world_size)
        while True:
            for batch in mine:
                target_in = pad([[BOS, *row[:-1]] for row in batch["target"]])
                yield pad(batch["source"]), target_in, pad(batch["target"])


class Measure(lightning.Callback):
    def __init__(self, stopwatch: Stopwatch):
        self.stopwatch = stopwatch

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index) -> None:
        self.stopwatch.losses.append(outputs["loss"].item())
        trainer.should_stop = self.stopwatch.step_done()


def train(job: Job) -> Job | None:
    use_threads(job)
    batches = read_batches(job)
    stopwatch = Stopwatch(job, batches)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=job["processes"],
        strategy="ddp" if job["processes"] > 1 else "auto",
        precision={"float32": "32-true", "bfloat16": "bf16-mixed"}[job["precision"]],
        gradient_clip_val=1.0,
        max_epochs=-1,
        callbacks=[Measure(stopwatch)],
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(PlainTransformer(job), DataLoader(Endless(batches, trainer), batch_size=None))
    result = stopwatch.result()
    return result if trainer.is_global_zero else None


if __name__ == "__main__":
    run(train=train)
