"""Files that are written completely or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of ``path`` when the block ends without an error.

    The content goes into a temporary file in the same folder, which is flushed to the disk and then
    renamed: whoever opens ``path`` sees the old content or the new, never a part. After an error
    the old content stays, and the temporary file is removed.

    Args:
        path: the file to write. Its folder is made if it does not exist.

    Yields:
        the temporary file, open for writing; ``Path(file.name)`` is where it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
