"""How a command ends: well, or with one sentence that says what is wrong."""

import argparse
import sys
from collections.abc import Callable

WRONG_INPUT = 2  # exit code
STOPPED = 75  # exit code: by Ctrl-C or SIGTERM


def command_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """The parser of scripts/``name``.py, without options; --help keeps the lines of the text."""
    return argparse.ArgumentParser(
        prog=f"python -m scripts.{name}",
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_seeds_option(parser: argparse.ArgumentParser) -> None:
    """The option of commands that evaluate several seeds."""
    parser.add_argument("--seeds", type=at_least_one, default=1, help="evaluate seeds 0 .. SEEDS-1")


def at_least_one(text: str) -> int:
    """The number that an option counts with, for ``type`` of ``add_argument``.

    Raises:
        argparse.ArgumentTypeError: if it is no whole number of at least 1.
    """
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def exit_code(work: Callable[[], int | None]) -> int:
    """Runs ``work`` and returns its exit code.

    A mistake of the caller is printed as one sentence and returns WRONG_INPUT; Ctrl-C returns
    STOPPED.
    """
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a letter gets its number
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return work() or 0
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("stopped; run the same command again to continue", file=sys.stderr)
        return STOPPED
