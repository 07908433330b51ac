"""Hugging Face Transformers: its Pegasus model, trained by its `Trainer`, decoding by its `generate`.

Pegasus is the library's model of our kind: pre-norm, static sinusoids, scaled and tied embeddings, so our
weights run in it unchanged (`convert.py`). Measured in training: the Trainer's loop with its own collator
(DataCollatorForSeq2Seq), label smoother, clipping and AdamW (weight decay 0), fed with our batches or, with
`batching`: "own", with those of its length-grouped sampler, which have as many pairs each. More than one
process: torchrun, which is the library's own way.

Settings tried (width 128, 4 + 4 layers, AMD Zen 4): attention `eager` (job key `attention`) beats `sdpa` in
training, in bfloat16 by 40 % of the CPU time; fused AdamW (job key `optimizer`) is a little faster than the
plain one; bfloat16 beats float32, in decoding too; two processes of one thread beat one of two threads;
`tune_malloc` saves 10 %. In decoding, attention and a batch of 16 to 64 make little difference.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from jobs import (
    BOS,
    EOS,
    PAD,
    Job,
    Rows,
    Stopwatch,
    in_batches,
    measure_decoding,
    output_limit,
    pad,
    read_batches,
    read_pairs,
    run,
    shares,
    target_scores,
    use_threads,
)
from torch.utils.data import DataLoader
from transformers import DataCollatorForSeq2Seq, PegasusForConditionalGeneration, Trainer, TrainingArguments


def pegasus_config(job: Job) -> transformers.PegasusConfig:
    return transformers.PegasusConfig(
        vocab_size=job["vocabulary_size"],
        d_model=job["width"],
        encoder_layers=job["encoder_layers"],
        decoder_layers=job["decoder_layers"],
        encoder_attention_heads=job["heads"],
        decoder_attention_heads=job["heads"],
        encoder_ffn_dim=job["feed_forward"],
        decoder_ffn_dim=job["feed_forward"],
        dropout=job["dropout"],
        activation_function="relu",
        scale_embedding=True,
        init_std=job["width"] ** -0.5,
        pad_token_id=PAD,
        eos_token_id=EOS,
        forced_eos_token_id=None,
        decoder_start_token_id=BOS,
        attn_implementation=job.get("attention", "eager"),
    )


def padding_tokenizer(vocabulary_size: int) -> transformers.PreTrainedTokenizerFast:
    """A tokenizer that only pads, which is all that the collator asks of it."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    words = {"<pad>": PAD, **{f"{i}": i for i in range(1, vocabulary_size)}}
    model = Tokenizer(WordLevel(words, unk_token="1"))
    special = {"pad_token": "<pad>", "padding_side": "right"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=model, **special)


class Groups:
    """Pair numbers, a batch at a time, without end: a batch sampler of the given batches."""

    def __init__(self, batches: list[dict[str, Rows]]):
        self.sizes = [len(batch["source"]) for batch in batches]

    def __iter__(self) -> Iterator[list[int]]:
        while True:
            start = 0
            for size in self.sizes:
                yield list(range(start, start + size))
                start += size


class MeasuredTrainer(Trainer):
    """The library's Trainer; keeps the loss and the number of target tokens of each step."""

    def __init__(self, *args: Any, stopwatch: Stopwatch, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.stopwatch, self.n_tokens = stopwatch, 0

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        self.n_tokens = int((inputs["labels"] != self.data_collator.label_pad_token_id).sum())
        loss = super().training_step(model, inputs, *args, **kwargs)
        self.stopwatch.losses.append(loss.item())
        return loss


class GroupTrainer(MeasuredTrainer):
    """Fed with batches that are already grouped."""

    def __init__(self, *args: Any, batches: list[dict[str, Rows]], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.groups = Groups(batches)

    def get_train_dataloader(self) -> DataLoader:
        return DataLoader(self.train_dataset, batch_sampler=self.groups, collate_fn=self.data_collator)


class Measure(transformers.TrainerCallback):
    def __init__(self, stopwatch: Stopwatch):
        self.stopwatch = stopwatch
        self.trainer: MeasuredTrainer | None = None  # where the batches are the library's own

    def on_step_end(self, args, state, control, **kwargs):
        own = None if self.trainer is None else self.trainer.n_tokens
        control.should_training_stop = self.stopwatch.step_done(own)


def arguments(job: Job, folder: str, **own_batching: Any) -> TrainingArguments:
    return TrainingArguments(
        **own_batching,
        output_dir=folder,
        use_cpu=True,
        max_steps=10**9,
        learning_rate=job["learning_rate"],
        lr_scheduler_type="constant",
        optim=job.get("optimizer", "adamw_torch_fused"),
        adam_beta2=0.98,
        label_smoothing_factor=job["label_smoothing"],
        max_grad_norm=1.0,
        bf16=job["precision"] == "bfloat16",
        ddp_backend="gloo" if job["processes"] > 1 else None,
        dataloader_pin_memory=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def as_data(batches: list[dict[str, Rows]]) -> list[dict[str, list[int]]]:
    return [
        {"input_ids": source, "labels": target}
        for batch in batches
        for source, target in zip(batch["source"], batch["target"], strict=True)
    ]


def train(job: Job) -> Job | None:
    use_threads(job)
    if job["processes"] > 1 and "LOCAL_RANK" not in os.environ:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command = [*torchrun, f"--nproc-per-node={job['processes']}", *sys.argv]
        sys.exit(subprocess.run(command).returncode)
    batches = read_batches(job)
    mine = shares(batches, int(os.environ.get("RANK", 0)), job["processes"])
    stopwatch = Stopwatch(job, batches)
    measure = Measure(stopwatch)
    model = PegasusForConditionalGeneration(pegasus_config(job))
    collator = DataCollatorForSeq2Seq(padding_tokenizer(job["vocabulary_size"]), model=model)
    common = {"callbacks": [measure], "stopwatch": stopwatch}
    trainer: MeasuredTrainer
    with tempfile.TemporaryDirectory() as folder:
        if job.get("batching") == "own":
            pairs = read_pairs(job)
            n_pairs = job["step_tokens"] * len(pairs["target"]) / sum(map(len, pairs["target"]))
            own = {
                "per_device_train_batch_size": max(1, round(n_pairs / job["processes"])),
                "train_sampling_strategy": "group_by_length",
            }
            trainer = MeasuredTrainer(
                model, arguments(job, folder, **own), collator, as_data([pairs]), **common
            )
            measure.trainer = trainer
        else:
            trainer = GroupTrainer(
                model, arguments(job, folder), collator, as_data(mine), batches=mine, **common
            )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    result = stopwatch.result()
    return result if trainer.is_world_process_zero() else None


def load(job: Job) -> PegasusForConditionalGeneration:
    use_threads(job)
    transformers.logging.set_verbosity_error()
    return PegasusForConditionalGeneration.from_pretrained(
        job["model"],
        dtype=getattr(torch, job["precision"]),
        attn_implementation=job.get("attention", "eager"),
    ).eval()


@torch.inference_mode()
def decode(job: Job) -> Job:
    model = load(job)

    def translate(batches: list[Rows]) -> Rows:
        outputs = []
        for batch in batches:
            source = pad(batch)
            generated = model.generate(
                input_ids=source,
                attention_mask=(source != PAD).long(),
                num_beams=job["beam_size"],
                length_penalty=job["length_penalty"],
                max_new_tokens=output_limit(batch, job),
                do_sample=False,
            )
            outputs += [[i for i in row if i not in (PAD, BOS, EOS)] for row in generated.tolist()]
        return outputs

    return measure_decoding(job, in_batches(job, translate))


@torch.inference_mode()
def score(job: Job) -> Job:
    model = load(job)
    pairs = json.loads(Path(job["pairs"]).read_text(encoding="utf-8"))
    source, target = pad(pairs["source"]), pad(pairs["target"])
    target_in = pad([[BOS, *row[:-1]] for row in pairs["target"]])
    logits = model(
        input_ids=source, attention_mask=(source != PAD).long(), decoder_input_ids=target_in
    ).logits
    scores = target_scores(logits.float().log_softmax(-1), target)
    Path(job["output"]).write_text(json.dumps(scores), encoding="utf-8")
    return {"output": job["output"]}


if __name__ == "__main__":
    run(train=train, decode=decode, score=score)
