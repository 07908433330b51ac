"""Checkpoints: nothing damaged is taken for whole, and there is one to fall back on."""

import io
import math
import os
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from translator.errors import TrainingError
from translator.training.checkpoint import (
    KEYS,
    LAST,
    PREVIOUS,
    STATE,
    ChecksummedCheckpointIO,
    read_checkpoint,
    refuse_divergence,
    with_checksum,
)


def checkpoint(step: int = 7) -> dict[str, Any]:
    return {
        **dict.fromkeys(KEYS, 0),
        "state_dict": {"model.weight": torch.arange(50.0) + step},
        "current_model_state": {"model.weight": torch.arange(50.0)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3), "step": torch.tensor(7.0)}}}],
        "callbacks": {"EarlyStopping": {"best_score": torch.tensor(math.inf)}},
        STATE: {"progress": {"steps": step}},
    }


def write(path: Path, step: int = 7) -> bytes:
    content = bytes(with_checksum(checkpoint(step)))
    path.write_bytes(content)
    return content


def refusal(path: Path) -> str:
    with pytest.raises(TrainingError) as caught:
        read_checkpoint(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    assert "weights_only" not in said
    return said.removeprefix(f"{path}: ")


def steps_of(found: dict[str, Any]) -> int:
    return int(found[STATE]["progress"]["steps"])


def test_a_checkpoint_reads_as_it_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = write(tmp_path / LAST)
    found = read_checkpoint(tmp_path / LAST)
    assert torch.equal(found["state_dict"]["model.weight"], checkpoint()["state_dict"]["model.weight"])
    assert found[STATE] == checkpoint()[STATE]
    assert capsys.readouterr().err == ""
    with zipfile.ZipFile(tmp_path / LAST) as file:  # it is a zip, and a checkpoint, for everybody
        assert file.testzip() is None
        assert file.comment.startswith(b"sha256:")
    assert torch.load(io.BytesIO(content), weights_only=True)[STATE] == checkpoint()[STATE]


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    content, path = bytearray(write(tmp_path / LAST)), tmp_path / LAST
    places = [*random.Random(1).sample(range(len(content)), 300), *range(len(content) - 100, len(content))]
    for place in places:
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        assert refusal(path).startswith("damaged: ")
        content[place] ^= 1 << place % 8
    path.write_bytes(content)
    assert steps_of(read_checkpoint(path)) == 7


def test_control_pytorch_alone_does_not_see_a_flipped_bit(tmp_path: Path) -> None:
    content = bytearray(write(tmp_path / LAST))
    content[bytes(content).index(torch.arange(50.0).add(7).numpy().tobytes()) + 42] ^= 1
    found = torch.load(io.BytesIO(content), weights_only=True)
    assert not torch.equal(found["state_dict"]["model.weight"], checkpoint()["state_dict"]["model.weight"])


def test_what_is_cut_short_zeroed_or_longer_is_found(tmp_path: Path) -> None:
    content, path = write(tmp_path / LAST), tmp_path / LAST
    draw = random.Random(2)
    damaged = [content[:length] for length in [*range(120), *range(len(content) - 150, len(content))]]
    damaged += [content + b"x", content + content, bytes(len(content))]
    for length in (1, 50, 71, 73, 95, 400):
        starts = [draw.randrange(len(content) - length) for _ in range(20)]
        for start in [*starts, len(content) - length]:
            damaged.append(content[:start] + bytes(length) + content[start + length :])
    for broken in damaged:
        if broken != content:
            path.write_bytes(broken)
            assert refusal(path).startswith("damaged: ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "damaged: it is empty"),
        (b"steps: 7\n", "damaged: it is truncated, or not a checkpoint"),
        (pickle.dumps({"state_dict": {}}), "damaged: it is truncated, or not a checkpoint"),
        (b"PK\5\6" + bytes(18), "damaged: it is not a checkpoint of this program"),
    ],
)
def test_something_else_in_its_place(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / LAST).write_bytes(content)
    assert refusal(tmp_path / LAST) == said


def test_one_that_is_not_there(tmp_path: Path) -> None:
    assert refusal(tmp_path / LAST) == "cannot be read: No such file or directory"


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    (tmp_path / LAST).write_bytes(with_checksum({k: v for k, v in checkpoint().items() if k != key}))
    assert refusal(tmp_path / LAST) == f"damaged: it lacks {key!r}"


def test_no_dictionary(tmp_path: Path) -> None:
    (tmp_path / LAST).write_bytes(with_checksum([1, 2]))  # type: ignore[arg-type]
    assert refusal(tmp_path / LAST) == "damaged: it lacks 'state_dict'"


def test_one_from_before_checksums_is_taken_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / LAST
    torch.save(checkpoint(), path)
    assert steps_of(read_checkpoint(path)) == 7
    assert capsys.readouterr().err == f"{path}: from before checkpoints had a checksum; not verified\n"


# -- the one before ------------------------------------------------------------------------------------


def test_the_previous_one_is_kept_and_taken_where_the_last_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer, last = ChecksummedCheckpointIO(), tmp_path / "checkpoints" / LAST
    for step in (1, 2, 3):
        writer.save_checkpoint(checkpoint(step), last)
    assert sorted(path.name for path in last.parent.iterdir()) == [LAST, PREVIOUS]
    assert steps_of(ChecksummedCheckpointIO().load_checkpoint(last)) == 3
    assert capsys.readouterr().err == ""
    last.write_bytes(last.read_bytes()[:-1])
    resumed = ChecksummedCheckpointIO()
    assert steps_of(resumed.load_checkpoint(last)) == 2
    said = capsys.readouterr().err
    assert said == (
        f"{last}: damaged: it is truncated, or not a checkpoint; resuming from previous.ckpt, of step 2\n"
    )
    resumed.save_checkpoint(checkpoint(4), last)  # the damaged one does not push out the good one
    assert steps_of(read_checkpoint(last)) == 4
    assert steps_of(read_checkpoint(last.with_name(PREVIOUS))) == 2
    resumed.save_checkpoint(checkpoint(5), last)
    assert steps_of(read_checkpoint(last.with_name(PREVIOUS))) == 4


def test_where_there_is_only_the_previous_one_it_is_taken(tmp_path: Path) -> None:
    write(tmp_path / PREVIOUS, 6)
    assert steps_of(ChecksummedCheckpointIO().load_checkpoint(tmp_path / LAST)) == 6


def test_where_both_are_damaged_both_are_named(tmp_path: Path) -> None:
    for name in (LAST, PREVIOUS):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(TrainingError) as caught:
        ChecksummedCheckpointIO().load_checkpoint(tmp_path / LAST)
    assert str(caught.value) == (
        f"{tmp_path / LAST}: damaged: it is empty; and {tmp_path / PREVIOUS}: damaged: it is empty; "
        "delete both to train from the start"
    )


@pytest.mark.parametrize("has_links", [True, False])
def test_a_kill_between_keeping_and_writing_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    writer, last = ChecksummedCheckpointIO(), tmp_path / LAST
    for step in (1, 2):
        writer.save_checkpoint(checkpoint(step), last)

    replace = os.replace

    def killed(source: str | Path, target: str | Path) -> None:
        if Path(target) == last:
            assert Path(source).stat().st_size > 1000, "the new one is whole before the last one moves"
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        if not has_links:
            patch.setattr("os.link", lambda *_: (_ for _ in ()).throw(PermissionError()))
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                writer.save_checkpoint(checkpoint(3), last)
    resumed = ChecksummedCheckpointIO()
    assert steps_of(resumed.load_checkpoint(last)) == 2
    resumed.save_checkpoint(checkpoint(3), last)
    assert steps_of(read_checkpoint(last)) == 3
    assert steps_of(read_checkpoint(last.with_name(PREVIOUS))) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [LAST, PREVIOUS]


def test_a_kill_while_the_next_one_is_written_leaves_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files, not two names of one that damage would hit as one."""
    writer, last = ChecksummedCheckpointIO(), tmp_path / LAST
    for step in (1, 2):
        writer.save_checkpoint(checkpoint(step), last)

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", kill)
        with pytest.raises(KeyboardInterrupt):
            writer.save_checkpoint(checkpoint(3), last)
    assert [steps_of(read_checkpoint(tmp_path / name)) for name in (LAST, PREVIOUS)] == [2, 1]


# -- numbers that are not finite -----------------------------------------------------------------------

PLACES = {
    "state_dict.model.weight": lambda c: c["state_dict"]["model.weight"],
    "current_model_state.model.weight": lambda c: c["current_model_state"]["model.weight"],
    "optimizer_states.0.state.0.exp_avg": lambda c: c["optimizer_states"][0]["state"][0]["exp_avg"],
}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", PLACES)
def test_what_is_not_finite_is_neither_read_nor_written(tmp_path: Path, name: str, value: float) -> None:
    broken = checkpoint()
    refuse_divergence(broken, steps=7)  # the control; the callback's infinite score is none of the weights
    PLACES[name](broken)[-1] = value
    with pytest.raises(TrainingError) as caught:
        refuse_divergence(broken, steps=7)
    assert str(caught.value).startswith(
        f"{name} has values that are not finite (nan or inf) by step 7; lower train.learning_rate"
    )
    (tmp_path / LAST).write_bytes(with_checksum(broken))
    assert refusal(tmp_path / LAST) == (
        f"{name} has values that are not finite (nan or inf): the training had diverged"
    )
