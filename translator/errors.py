"""Errors that a user can cause, and their exit codes.

PasserelleError                 exit 1: one line on stderr, never a traceback
├── ConfigError                 an invalid configuration file or override
├── DataError                   a corpus that cannot be read, downloaded or used
├── ModelError                  a model folder that is missing, damaged or of another format version
├── TrainingError               a training run that cannot start or continue
├── ExportError                 a failed export, or an exported model that translates differently
├── PictureError                a figure that cannot be drawn
├── ServeError                  a service that cannot start
└── UsageError                  exit 2: invalid command-line arguments

A message starts with the place of the error, such as the dotted key of a configuration field or `file:line`.
Then it says which value is invalid, what is allowed and what to do.
"""


class PasserelleError(Exception):
    """Base class of all errors that a user can cause and fix."""

    exit_code = 1


class ConfigError(PasserelleError):
    """Raised if a configuration cannot be read or is invalid."""


class DataError(PasserelleError):
    """Raised if a corpus cannot be read or used."""


class ModelError(PasserelleError):
    """Raised if a model folder cannot be used."""


class TrainingError(PasserelleError):
    """Raised if a training run cannot start or continue."""


class ExportError(PasserelleError):
    """Raised if a model cannot be exported, or if an exported model translates differently."""


class PictureError(PasserelleError):
    """Raised if a figure cannot be drawn."""


class ServeError(PasserelleError):
    """Raised if a service cannot start."""


class UsageError(PasserelleError):
    """Raised if arguments are invalid or contradict each other."""

    exit_code = 2


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, whether in Python, in torch or in other C++ code."""
    words = (
        *("out of memory", "not enough memory", "allocate memory", "bad_alloc", "can't start new thread"),
        "ALLOC_FAILED",  # from cuBLAS and cuDNN
    )
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | OSError) and any(word in str(error) for word in words)
    )
