"""Small text files as people's machines write them."""

import codecs
from pathlib import Path

from data.errors import DataError
from data.label_bytes import LARGEST_TEXT, label_bytes

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(file: Path) -> str:
    """The content of a text file.

    A byte-order mark says the encoding (Windows writes UTF-16 with one); without it the text is
    UTF-8, and Windows-1252 if it cannot be.

    Raises:
        DataError: it is too large.
    """
    try:
        content = label_bytes(file, LARGEST_TEXT)
    except ValueError as error:
        raise DataError(f"{file}: the file is not read, because {error}.") from error
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def read_lines(file: Path) -> list[str]:
    """The lines of a text file without what surrounds them, empty ones left out; line ends may be
    those of any system.
    """
    return [line.strip() for line in read_text(file).splitlines() if line.strip()]
