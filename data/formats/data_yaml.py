"""Reads YOLO's data.yaml: where the images of each split are, and the names of the classes.

Of YAML it reads what such files use: "key: value" at the margin, lists and mappings in brackets or
one entry a line, quotes and comments. Other keys may hold anything; they are not looked at.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from data.errors import DataError
from data.text_files import read_text

KEY = re.compile(r"""(["']?)([\w-]+)\1\s*:(?:\s+(.*))?$""")
QUOTED = re.compile(r"""'((?:[^']|'')*)'|"((?:[^"\\]|\\.)*)\"""")
LONGEST_NUMBER = 9  # digits of the number of a class
SPLITS = {"train": "train", "val": "val", "valid": "val", "test": "test"}  # key -> split


@dataclass(frozen=True, kw_only=True)
class DataYaml:
    """What a data.yaml says.

    classes: label k is classes[k - 1]. base: the folder that the file names as ``path``, "" if it
    names none. splits: by the name of the split, the places of its images as the file has them.
    """

    classes: tuple[str, ...]
    base: str
    splits: dict[str, tuple[str, ...]]


def read_data_yaml(file: Path) -> DataYaml:
    """Reads and checks a data.yaml.

    Raises:
        DataError: it has no class names, their number is not the one that it gives, or its labels
            have key points, which a reader of boxes and polygons would take for corners.
    """
    blocks = _blocks(read_text(file).splitlines())
    if blocks.get("kpt_shape"):
        raise DataError(
            f"{file}: kpt_shape says that the labels have key points behind each box, which are not"
            ' read; write labels of boxes, "class cx cy w h", and remove the key.'
        )
    names = _entries(blocks.get("names", []))
    if not names:
        raise DataError(
            f"{file}: the key names is missing or empty; list the names of the classes there."
        )
    if all(key is not None for key, _ in names):
        names = sorted(names, key=lambda entry: _number(entry[0], file))
        if [_number(key, file) for key, _ in names] != list(range(len(names))):
            raise DataError(f"{file}: the classes under names are not numbered 0, 1, 2, ...")
    classes = tuple(value for _, value in names)
    count = "".join(value for _, value in _entries(blocks.get("nc", [])))
    if count and count != str(len(classes)):
        raise DataError(f"{file}: nc is {count}, and names has {len(classes)} classes; correct it.")
    splits = {
        split: tuple(value for _, value in _entries(blocks[key]) if value)
        for key, split in SPLITS.items()
        if key in blocks
    }
    base = "".join(value for _, value in _entries(blocks.get("path", [])))
    return DataYaml(
        classes=classes,
        base=base,
        splits={name: places for name, places in splits.items() if places},
    )


def _number(text: str | None, file: Path) -> int:
    if text is None or not text.isdecimal() or len(text) > LONGEST_NUMBER:
        shown = None if text is None else text[:40]
        raise DataError(f"{file}: the class number {shown!r} under names is no whole number.")
    return int(text)


def _blocks(lines: list[str]) -> dict[str, list[str]]:
    """The lines that belong to each key at the margin, without comments."""
    blocks: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        line = _without_comment(line).rstrip()
        key = KEY.match(line)
        if key:
            current = blocks.setdefault(key[2], [])
            current.clear()
            current.append((key[3] or "").strip())
        elif line.strip() not in ("", "---", "..."):
            current.append(line.strip())
    return {key: [line for line in block if line] for key, block in blocks.items()}


def _entries(block: list[str]) -> list[tuple[str | None, str]]:
    """The (key, value) pairs of one block; a scalar or an entry of a list has the key None."""
    text = " ".join(block)
    if text.startswith(("[", "{")):
        parts = _bracketed(text)
        return [_pair(part) if text[0] == "{" else (None, _plain(part)) for part in parts]
    if len(block) > 1 or text.startswith("- ") or (block and _is_pair(text)):
        return [
            (None, _plain(line[1:].strip())) if line.startswith("-") else _pair(line)
            for line in block
        ]
    return [(None, _plain(text))] if text else []


def _outside_quotes(text: str) -> Iterator[tuple[int, str]]:
    """The characters of a text that no quotes enclose, with their places. An apostrophe in a word
    opens none.
    """
    quote = ""
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and (place == 0 or text[place - 1] in " ,[{:"):
            quote = character
        else:
            yield place, character


def _without_comment(line: str) -> str:
    for place, character in _outside_quotes(line):
        if character == "#" and (place == 0 or line[place - 1].isspace()):
            return line[:place]
    return line


def _bracketed(text: str) -> list[str]:
    """The entries between brackets, at whose commas a new one begins."""
    inner = text[1:].rstrip().removesuffix("]").removesuffix("}")
    commas = [place for place, character in _outside_quotes(inner) if character == ","]
    bounds = [-1, *commas, len(inner)]
    parts = [inner[start + 1 : end].strip() for start, end in pairwise(bounds)]
    return [part for part in parts if part]


def _is_pair(line: str) -> bool:
    return re.match(r"""\d+\s*:\s""", line) is not None


def _pair(line: str) -> tuple[str | None, str]:
    key, _, value = line.partition(":")
    return _plain(key.strip()), _plain(value.strip())


def _plain(text: str) -> str:
    """A scalar without its quotes."""
    match = QUOTED.fullmatch(text)
    if match is None:
        return text
    if match[1] is not None:
        return match[1].replace("''", "'")
    return match[2].replace('\\"', '"').replace("\\\\", "\\")
