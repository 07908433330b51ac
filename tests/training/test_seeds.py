"""Dropout differs from step to step, batch to batch and rank to rank, and not from run to run."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from translator.building import build_model
from translator.config import Config
from translator.data.batching import make_batch
from translator.errors import DataError
from translator.training import run
from translator.training.module import TranslationModule

MakeConfig = Callable[..., Config]


def seed_of(module: TranslationModule, step: int, batch_idx: int, rank: int) -> int:
    """The seed of torch's generator in a batch."""
    group: dict[str, float] = {}
    module._trainer = SimpleNamespace(  # type: ignore[assignment]
        global_step=step, world_size=2, global_rank=rank, optimizers=[SimpleNamespace(param_groups=[group])]
    )
    module.on_train_batch_start(make_batch([[5]], [[6]]), batch_idx)
    return torch.initial_seed()


def test_each_batch_of_each_step_and_rank_has_its_own_seed(tiny_config: MakeConfig) -> None:
    config = tiny_config()
    places = [(step, batch, rank) for step in range(4) for batch in range(3) for rank in range(2)]

    def seeds() -> list[int]:
        module = TranslationModule(build_model(config.model, 20), config)
        module.log = lambda *_, **__: None  # type: ignore[method-assign]
        return [seed_of(module, *place) for place in places]

    found = seeds()
    assert len(set(found)) == len(places)
    assert seeds() == found


def test_memory_and_kernels_are_kept_before_anything_is_computed(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both only save memory and time, so nothing else would notice that they are gone."""
    done: list[str] = []
    for name in ("tune_malloc", "cap_onednn_cache"):
        monkeypatch.setattr(run, name, lambda name=name: done.append(name))
    with pytest.raises(DataError):
        run.train(tiny_config("data.files.train=absent.{lang}"), name="tiny")
    assert sorted(done) == ["cap_onednn_cache", "tune_malloc"]
