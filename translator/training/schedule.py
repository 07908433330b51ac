"""How far a run has come, and the learning rate that goes with it."""

from dataclasses import dataclass

from translator.config import TrainConfig


@dataclass
class Progress:
    """What a run has done so far; saved with every checkpoint.

    Attributes:
        steps: optimiser steps.
        epochs: passes over the training pairs, a fraction.
        seconds: wall clock from the first step on, validation included, interruptions not.
        target_tokens: real target tokens trained on, over all ranks.
    """

    steps: int = 0
    epochs: float = 0.0
    seconds: float = 0.0
    target_tokens: int = 0

    def share(self, config: TrainConfig) -> float:
        """Return how much of the nearest budget is used up, 0 to 1."""
        shares = [0.0]
        if config.max_steps is not None:
            shares.append(self.steps / config.max_steps)
        if config.max_epochs is not None:
            shares.append(self.epochs / config.max_epochs)
        if config.max_minutes is not None:
            shares.append(self.seconds / (60 * config.max_minutes))
        return min(1.0, max(shares))


def learning_rate(config: TrainConfig, progress: Progress) -> float:
    """Return the rate of the next step.

    It rises in a straight line over `warmup_steps`, stays at its peak, and over the last `decay_fraction`
    of the budget falls in a straight line that reaches zero where the budget ends.
    """
    rising = min(1.0, (progress.steps + 1) / (config.warmup_steps + 1))
    falling = min(1.0, (1 - progress.share(config)) / config.decay_fraction)
    return config.learning_rate * min(rising, falling)
