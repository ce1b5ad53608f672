"""Reads files of labels whole, up to a size that no such file has by mistake.

A parsed file takes several times its size in memory, so a foreign one could fill it.
"""

import os
from pathlib import Path

MB = 1_000_000
LARGEST_DATA_SET = 2_000 * MB  # bytes of one file for a whole data set; COCO's largest has 470 MB
LARGEST_TEXT = 50 * MB  # bytes of the labels of one image, a list of images, or a data.yaml
OVERRIDE = "LABEL_FILE_MB"  # environment variable: the limit, in MB, in the place of both


def label_bytes(file: Path, most: int) -> bytes:
    """The content of a file of labels.

    Args:
        file: to read.
        most: bytes that it may have, unless the environment sets OVERRIDE.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger, or OVERRIDE is no whole number.
    """
    limit = limit_in(os.environ.get(OVERRIDE, ""), most)
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > limit:
            raise ValueError(
                f"it has {size:,} bytes, more than {limit:,}; if that is right, set {OVERRIDE}="
                f"{-(-size // MB)} in the environment"
            )
        return stream.read()


def limit_in(override: str, most: int) -> int:
    """The bytes that a file may have.

    Args:
        override: MB, as text; "": none.
        most: bytes without it.

    Raises:
        ValueError: the override is no whole number above 0.
    """
    if not override:
        return most
    if not (override.isdecimal() and len(override) < 10 and int(override)):
        raise ValueError(f"{OVERRIDE}={override[:40]} is no whole number of MB above 0")
    return int(override) * MB
