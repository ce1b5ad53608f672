"""How a command ends: well, or with one sentence that says what is wrong.

Exit codes of every command are those below; 3, 4, 5 and 130 come from trainings.
"""

import argparse
import errno
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from scripts.engine.full_memory import is_out_of_memory
from scripts.engine.numbers import at_least_one

WRONG_INPUT = 2  # exit code: an option, a path, or the data before any work
BAD_DATA = 3  # exit code: data that cannot be used any more, found after the training began
DIVERGED = 4  # exit code: a loss or gradient is not finite
# exit code: disk or memory is full, a folder cannot be written, a process is gone
ENVIRONMENT = 5
STOPPED = 75  # exit code: by a signal, and what was done is saved
ENDED_AT_ONCE = 130  # exit code: by a second signal, with what was saved before

# the last one: a limit of the file system or of the process
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

EXIT_CODES = (  # for the help of a training
    "Exit codes: 0 done, 2 wrong input, 3 the data fail during the training, 4 a loss is not\n"
    "finite, 5 the disk or memory is full, 75 stopped by a signal (SIGTERM, SIGINT, SIGHUP or\n"
    "SIGUSR1) and saved, 130 ended at once by a second signal."
)


class EnvironmentFault(RuntimeError):
    """The machine cannot go on: its disk or memory is full, a folder cannot be written, or another
    process is gone.
    """


class LostProcess(EnvironmentFault):
    """Another process of the same training has ended or does not answer."""


class DataFault(RuntimeError):
    """The data cannot be used any more, after the training has begun."""


class EndedAtOnce(KeyboardInterrupt):
    """A second signal ended the training before it could save."""


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, as all other errors are."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_INPUT, f"error: {message}; --help lists the options.\n")


def command_parser(name: str, description: str | None) -> CommandParser:
    """The parser of scripts/``name``.py, without options; --help keeps the lines of the text."""
    return CommandParser(
        prog=f"python -m scripts.{name}",
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_seeds_option(parser: argparse.ArgumentParser) -> None:
    """The option of commands that evaluate several seeds."""
    parser.add_argument("--seeds", type=at_least_one, default=1, help="evaluate seeds 0 .. SEEDS-1")


def exit_code(work: Callable[[], int | None], *, processes: bool = False) -> int:
    """Runs ``work`` and returns its exit code.

    Args:
        work: the command.
        processes: whether the command can be started by torchrun.

    A mistake of the caller is printed as one sentence and returns WRONG_INPUT; DataFault,
    EnvironmentFault and EndedAtOnce have codes of their own, and so has an error of full memory
    that nobody has put into words; Ctrl-C returns STOPPED.
    """
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a letter gets its number
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        if not processes and os.environ.get("WORLD_SIZE", "1") != "1":
            raise ValueError("This command runs in one process; start it without torchrun.")
        return work() or 0
    except (ValueError, OSError) as error:
        full = isinstance(error, OSError) and error.errno in FULL_DISK
        return failed(error, ENVIRONMENT if full else WRONG_INPUT)
    except DataFault as error:
        return failed(error, BAD_DATA)
    except EnvironmentFault as error:
        return failed(error, ENVIRONMENT)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return failed(memory_is_full(error), ENVIRONMENT)
    except EndedAtOnce:
        print("ended at once; the same command continues from the last checkpoint", file=sys.stderr)
        return ENDED_AT_ONCE
    except KeyboardInterrupt:
        print("stopped; run the same command again to continue", file=sys.stderr)
        return STOPPED


def memory_is_full(error: Exception) -> EnvironmentFault:
    """The sentence for an error of full memory of which nothing else is known."""
    said = next(iter(str(error).splitlines()), "") or type(error).__name__
    return EnvironmentFault(
        f"The memory is full ({said.rstrip('.')}); end what else uses it, or take a machine or a "
        "--device with more, and run the same command again."
    )


def failed(error: Exception, code: int) -> int:
    """Prints the sentence of an error, and in which of several processes; returns the exit code."""
    rank, processes = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    where = f" in process {rank} of {processes}" if processes != "1" else ""
    print(f"error{where}: {error}", file=sys.stderr)
    return code
