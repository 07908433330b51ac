"""The command `translator`: its subcommands and exit codes.

Torch and other large packages are imported only when a subcommand that needs them runs, so that `--help` is
fast.
"""

import os
import re
import signal
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Annotated

import typer

from translator import console
from translator.cli.align import align_command
from translator.cli.evaluating import evaluate_command
from translator.cli.explain import explain_command
from translator.cli.help import Command
from translator.cli.importing import import_command
from translator.cli.models import export_command, import_model_command, info_command
from translator.cli.serve import serve_command
from translator.cli.synthesizing import synthesize_command
from translator.cli.training import check_data_command, train_command
from translator.cli.translating import score_command, translate_command
from translator.errors import PasserelleError, is_out_of_memory
from translator.signals import ENDING, HUNG_UP, INTERRUPTED, TERMINATED, StopOnce, signal_handler

TOO_LITTLE_MEMORY = (
    "there is not enough memory; lower --batch-size or --beam, use shorter lines or a smaller model, or for "
    "training lower train.max_tokens_per_batch"
)

#: The messages that are printed after SIGTERM and after SIGHUP, under the exit code of each signal.
ENDED = {TERMINATED: "terminated", HUNG_UP: "hung up"}

app = typer.Typer(
    name="translator",
    help="Train a small French-English translator, translate with it, and score it.",
    epilog="`translator COMMAND --help` shows the options of a command, and an example.",
    add_completion=False,
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: The subcommands, in the order in which `--help` lists them.
COMMANDS: dict[str, Callable[..., None]] = {
    "import": import_command,
    "train": train_command,
    "check-data": check_data_command,
    "translate": translate_command,
    "synthesize": synthesize_command,
    "evaluate": evaluate_command,
    "score": score_command,
    "align": align_command,
    "explain": explain_command,
    "serve": serve_command,
    "export": export_command,
    "import-model": import_model_command,
    "info": info_command,
}
for _name, _command in COMMANDS.items():
    app.command(_name, cls=Command)(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit.

    The exit code is 0 after success, 1 after an error and 2 after a usage error. If a signal ends the
    command, the exit code is 128 + the number of the signal, as in a shell. If the program that reads our
    output closes the pipe, the exit code is 141, as after SIGPIPE.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # the parent process started us with this stream closed
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    console.use_utf8()
    with signal_handler(signal.SIGINT, StopOnce(), instead_of=signal.default_int_handler):
        code = _run(arguments)
        # Ignore further signals, because a signal during the exit would print a traceback.
        if code in (INTERRUPTED, *ENDED):
            for number in (signal.SIGINT, *ENDING):
                signal.signal(number, signal.SIG_IGN)
        sys.exit(code)


def _run(arguments: list[str] | None) -> int:
    """Run the command line and return the exit code."""
    try:
        code = app(args=arguments, standalone_mode=False)
        sys.stdout.flush()
    except PasserelleError as error:
        code = _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        if hasattr(error, "option_name") and message.startswith("No such option"):
            if "." in str(error.option_name):
                message += f"; write an override without dashes: {error.option_name.lstrip('-')}=VALUE"
            else:
                message += "; write a text that starts with a dash after --, as in: -- '- Oui.'"
        code = _fail(message, getattr(error, "exit_code", 1)) if message.strip() else 2
    except (KeyboardInterrupt, typer.Abort):
        code = _fail("interrupted", INTERRUPTED)
    except (BrokenPipeError, SystemExit) as error:
        if (code := getattr(error, "code", None)) in ENDED:
            return _fail(ENDED[code], code)
        # The program that reads our output closed the pipe. Typer may turn the BrokenPipeError into a
        # SystemExit. Exit silently, as other Unix filters do.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141  # 128 + SIGPIPE
    except (OSError, MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            code = _fail(TOO_LITTLE_MEMORY, 1)
        elif isinstance(error, OSError):
            where = f"{error.filename}: " if error.filename else ""
            code = _fail(f"{where}{error.strerror or error}", 1)
        else:
            raise  # this is a bug, and the traceback helps to find it
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    message = re.sub(r"\d{50,}", lambda digits: f"{digits[0][:10]}… ({len(digits[0])} digits)", message)
    console.note(f"error: {' '.join(message.split())}")
    return code


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"translator {metadata.version('passerelle')} (torch {metadata.version('torch')})")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print versions and exit."),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        console.note(context.get_help())
        raise typer.Exit(2)
