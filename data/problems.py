"""What can be wrong with a data set: problems that stop it, and problems that it can be used with.

The readers of annotations return a list of ``Problem``s. The data sets stop at the first one that
matters (``check_problems``); data/validate.py prints them all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, TypeGuard

import numpy as np

from data.errors import DataError

OnBadBox = Literal["error", "skip"]
Severity = Literal["error", "box", "repaired", "suspect", "note"]
MAX_ID = 2**53  # larger integers lose digits in JSON readers that use float64
LONGEST_SHOWN = 80  # characters of a value in a sentence
MAX_PIXELS = 89_478_485  # Pillow's limit, above which no image is read


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with a data set.

    severity: "error": the data set cannot be used; "box": it can if this box is left out;
    "repaired": the reader copes (it clips the box) and only the validator reports it; "suspect": it
    can be used as it is, and looks like a mistake; "note": something usual that is said, and is
    nothing wrong (a field left out that has a neutral value). where: the entry of the file, "" for
    the whole file; notes of one text are counted together.
    """

    severity: Severity
    file: str
    text: str
    where: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.where, self.text) if part)


def check_problems(problems: Sequence[Problem], on_bad_box: OnBadBox) -> tuple[str, ...]:
    """Stops at the problems that make the data unusable.

    Args:
        problems: of one data set.
        on_bad_box: whether a bad box counts among them ("error") or is left out ("skip").

    Returns:
        a sentence for each box that was left out.

    Raises:
        DataError: for the first problem that makes the data unusable.
        ValueError: ``on_bad_box`` is something else.
    """
    if on_bad_box not in ("error", "skip"):
        raise ValueError(f"on_bad_box is {on_bad_box!r}; choose 'error' or 'skip'.")
    fatal = ("error", "box") if on_bad_box == "error" else ("error",)
    stopping = [problem for problem in problems if problem.severity in fatal]
    if stopping:
        raise _unusable(stopping)
    return tuple(str(problem) for problem in problems if problem.severity == "box")


def _unusable(stopping: Sequence[Problem]) -> DataError:
    first, others = stopping[0], len(stopping) - 1
    more = f" ({others} more problems)" if others else ""
    advice = "correct the data"
    if first.severity == "box":
        advice += ' or leave such boxes out with --skip-bad-boxes (DataConfig.on_bad_box="skip")'
    return DataError(f"{first}{more}; python -m data.validate lists all of them: {advice}.")


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a JSON value is a number that float32 can hold (true and false are not numbers)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e38


def size_problem(height: int, width: int) -> str | None:
    """Why no image can have the size that its labels give, or None."""
    if height < 1 or width < 1:
        return f"size {shortened(height)} x {shortened(width)} is not in positive px"
    if height * width > MAX_PIXELS:
        shown = f"{shortened(height)} x {shortened(width)}"
        return f"size {shown} px is more than the {MAX_PIXELS / 1e6:.0f} million that are read"
    return None


def shortened(value: object) -> str:
    """A value of a file for a sentence, which it must not fill."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def name_text_problem(name: str) -> str | None:
    """Why a class cannot have this name, or None: control characters would act on a terminal, and
    halves of a character cannot be written to a file.
    """
    if all(character.isprintable() for character in name):
        return None
    return f"the name {name!r} has characters that cannot be printed"


def plain_name(name: str) -> str:
    """The name of a class in lower case, without spaces, underscores and hyphens."""
    return "".join(name.casefold().split()).replace("_", "").replace("-", "")


def similar_names(classes: Sequence[str]) -> list[str]:
    """A sentence for each pair of classes with one ``plain_name``."""
    seen: dict[str, str] = {}
    sentences = []
    for name in classes:
        other = seen.setdefault(plain_name(name), name)
        if other != name:
            sentences.append(
                f"the classes {other!r} and {name!r} differ only in case, spaces or lines, and are"
                " learned as two; give both one name if they are one"
            )
    return sentences


def box_problem(
    box: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[Severity, str] | None:
    """What is wrong with a box, if anything.

    Args:
        box: (x1, y1, x2, y2) px.
        size: (height, width) of the image, px.

    Returns:
        severity and text of the problem, or None.
    """
    x1, y1, x2, y2 = box
    height, width = size
    shown = "({:g}, {:g}, {:g}, {:g})".format(*box)
    if not all(map(math.isfinite, box)):
        return "box", f"box {shown} is not finite"
    if x2 <= x1 or y2 <= y1:
        return "box", f"box {shown} has no positive size ({x2 - x1:g} x {y2 - y1:g} px)"
    overhang = max(-x1, -y1, x2 - width, y2 - height)
    if not _overlaps_image(box, size):
        return "box", f"box {shown} lies outside the image of {width} x {height} px"
    if not (_is_length(max(x1, 0), min(x2, width)) and _is_length(max(y1, 0), min(y2, height))):
        return "box", f"box {shown} has no positive size inside the image of {width} x {height} px"
    if overhang > 1:
        return (
            "repaired",
            f"box {shown} leaves the image of {width} x {height} px by more than 1 px"
            " (it is clipped)",
        )
    return None


def _overlaps_image(box: tuple[float, float, float, float], size: tuple[int, int]) -> bool:
    x1, y1, x2, y2 = box
    height, width = size
    return x1 < width and y1 < height and x2 > 0 and y2 > 0


def _is_length(low: float, high: float) -> bool:
    """Whether two sides are apart in float32, in which boxes are kept."""
    return high - low >= 1 or bool(np.float32(low) < np.float32(high))


def forward_slashes(name: str) -> str:
    """A file name as every system writes it: Windows' "a\\b.jpg" and "./a//b.jpg" are "a/b.jpg"."""
    plain = name.replace("\\", "/")
    return str(PurePosixPath(plain)) if plain else plain


def name_problem(name: str) -> str | None:
    """Why a file name from an annotation must not be used, or None: it has to stay inside its image
    folder.

    Args:
        name: with forward slashes.
    """
    if not name.strip():
        return "the file name is empty"
    drive = len(name) > 2 and name[0].isalpha() and name[1:3] == ":/"
    if "\0" in name or name.startswith("/") or ".." in PurePosixPath(name).parts or drive:
        return f"the file name {name!r} leaves the image folder"
    return None
