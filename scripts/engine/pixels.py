"""Which pixels a result comes from: a digest of the image files of a data set."""

import hashlib

from data.records import Dataset


def pixels_digest(dataset: Dataset) -> str:
    """The SHA-256 of the content of every image file, in the order of the data set.

    Ids and sizes say too little: another copy of the data can have the same ones. A file that is
    not there counts as empty, and whoever reads it is told.
    """
    digest = hashlib.sha256()
    for index in range(len(dataset)):
        file = dataset.file(index)
        content = file.read_bytes() if file.is_file() else b""
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()
