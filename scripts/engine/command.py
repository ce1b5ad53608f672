"""How a command ends: well, or with one sentence that says what is wrong."""

import argparse
import errno
import sys
from collections.abc import Callable
from typing import NoReturn

from scripts.engine.numbers import at_least_one

WRONG_INPUT = 2  # exit code
ENVIRONMENT = 5  # exit code: the disk or the memory is full
STOPPED = 75  # exit code: by Ctrl-C or SIGTERM


# the last one: a limit of the file system or of the process
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class EnvironmentFault(RuntimeError):
    """The machine cannot go on: its disk or memory is full."""


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


def exit_code(work: Callable[[], int | None]) -> int:
    """Runs ``work`` and returns its exit code.

    A mistake of the caller is printed as one sentence and returns WRONG_INPUT, a full disk or
    memory ENVIRONMENT; Ctrl-C returns STOPPED.
    """
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a letter gets its number
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return work() or 0
    except EnvironmentFault as error:
        print(f"error: {error}", file=sys.stderr)
        return ENVIRONMENT
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        full = isinstance(error, OSError) and error.errno in FULL_DISK
        return ENVIRONMENT if full else WRONG_INPUT
    except KeyboardInterrupt:
        print("stopped; run the same command again to continue", file=sys.stderr)
        return STOPPED
