"""The progress of a run, and the learning rate schedule."""

from dataclasses import dataclass

from translator.config import TrainConfig


@dataclass
class Progress:
    """The progress of a run, saved with every checkpoint.

    Attributes:
        steps: number of optimiser steps.
        epochs: number of passes over the training pairs; may be fractional.
        seconds: wall-clock time of training and validation, without the time between sessions.
        target_tokens: number of target tokens trained on, without padding, summed over all ranks.
    """

    steps: int = 0
    epochs: float = 0.0
    seconds: float = 0.0
    target_tokens: int = 0

    def fraction(self, config: TrainConfig) -> float:
        """Return the used fraction of the budget, 0 to 1. The limit that is closest counts."""
        fractions = [0.0]
        if config.max_steps is not None:
            fractions.append(self.steps / config.max_steps)
        if config.max_epochs is not None:
            fractions.append(self.epochs / config.max_epochs)
        if config.max_minutes is not None:
            fractions.append(self.seconds / (60 * config.max_minutes))
        return min(1.0, max(fractions))


def learning_rate(config: TrainConfig, progress: Progress) -> float:
    """Return the learning rate of the next step.

    The rate rises linearly over `warmup_steps`, then stays constant, and finally decays linearly to zero over
    the last `decay_fraction` of the budget. In a run that starts from a model, the peak is lower.
    """
    warmup = min(1.0, (progress.steps + 1) / (config.warmup_steps + 1))
    decay = min(1.0, (1 - progress.fraction(config)) / config.decay_fraction)
    peak = config.learning_rate * (1.0 if config.init_from is None else config.init_rate_factor)
    return peak * min(warmup, decay)
