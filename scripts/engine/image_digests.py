"""What tells images apart, whatever they are called."""

import hashlib
from pathlib import Path

from data.records import Dataset

DIGESTS = "digests"  # in the file of TRAINED_IMAGES
COMPARED = 1 << 16  # bytes of each image, beside its size


def image_digests(dataset: Dataset) -> set[str]:
    """What tells the images of a data set apart, whatever they are called: their size in bytes and
    their first COMPARED bytes.

    A file that cannot be read is left out.
    """
    files = (dataset.file(index) for index in range(len(dataset)))
    return {digest for digest in map(image_digest, files) if digest is not None}


def image_digest(path: Path) -> str | None:
    """The digest of one image file; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(COMPARED)
            size = path.stat().st_size
    except OSError:
        return None
    return hashlib.blake2b(content, digest_size=8, salt=size.to_bytes(8, "big")).hexdigest()
