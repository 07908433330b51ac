"""What can go wrong by a user's hand, and the exit code it ends with.

PasserelleError                 exit 1: one line on stderr, never a traceback
├── ConfigError                 a configuration file or an override
├── DataError                   a corpus: missing, badly encoded, unequal sides, no network
├── ModelError                  a model folder: absent, damaged, of another version
├── TrainingError               a run that cannot start or go on
├── ExportError                 a model that another program cannot take over, or does not read as ours
├── PictureError                a picture that cannot be drawn
├── ServeError                  a service that cannot start as asked
└── UsageError                  exit 2: the command line itself

A message says what is wrong with its value, what is allowed and what to do, in this order, with the
dotted key or `file:line` in front.
"""


class PasserelleError(Exception):
    """Anything that a user can cause and mend."""

    exit_code = 1


class ConfigError(PasserelleError):
    """A configuration that cannot be read or does not fit."""


class DataError(PasserelleError):
    """A corpus that cannot be read as it is."""


class ModelError(PasserelleError):
    """A model folder that cannot be used."""


class TrainingError(PasserelleError):
    """A training run that cannot start or go on."""


class ExportError(PasserelleError):
    """A model that cannot be exported, or an export that does not translate as the model does."""


class PictureError(PasserelleError):
    """A picture that cannot be drawn."""


class ServeError(PasserelleError):
    """A service that cannot start as asked."""


class UsageError(PasserelleError):
    """Arguments that do not go together."""

    exit_code = 2


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory ran out: Python's own error, or what torch and other C++ make of it."""
    words = (
        *("out of memory", "not enough memory", "allocate memory", "bad_alloc", "can't start new thread"),
        "ALLOC_FAILED",  # of cuBLAS and cuDNN
    )
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | OSError) and any(word in str(error) for word in words)
    )
