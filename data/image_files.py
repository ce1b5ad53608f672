"""Image files by name: what a folder really holds, instead of what a label file says it holds.

Names are compared as Unicode compares them (macOS stores "ü" as two characters), and a suffix
that is not the file's own is looked past: the label file says a.png, and a.JPG is there.
"""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

SUFFIXES = {  # by Pillow's name of the format; MPO is a JPEG with a second picture
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
}
IMAGE_SUFFIXES = tuple(dict.fromkeys(suffix for some in SUFFIXES.values() for suffix in some))


def is_hidden(name: str) -> bool:
    """Whether a file is one that systems leave behind, such as macOS's ._a.jpg and .DS_Store."""
    return name.startswith(".") or name in ("Thumbs.db", "desktop.ini")


def is_image_name(name: str) -> bool:
    """Whether a file name is that of an image which can be read, and not a hidden one."""
    return not is_hidden(name) and Path(name).suffix.lower() in IMAGE_SUFFIXES


def without_image_suffix(name: str) -> str:
    """A file name without the suffix of an image; any other dot is part of the name."""
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in IMAGE_SUFFIXES else name


def same_text(text: str) -> str:
    """A text in the form in which equal texts have equal characters."""
    return unicodedata.normalize("NFC", text)


def image_names(folder: Path) -> list[str]:
    """The sorted names of the image files in a folder, which is not searched deeper; [] if there
    is no such folder.
    """
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(
            entry.name for entry in entries if is_image_name(entry.name) and not entry.is_dir()
        )


class ImageFolder:
    """The image files below a folder, each sub-folder listed once.

    Args:
        folder: need not exist; then it holds nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listed: dict[str, dict[str, list[str]]] = {}

    def find(self, name: str) -> str | None:
        """The file that a label file means.

        Args:
            name: as the label file has it, with "/" between sub-folders; with or without a suffix.

        Returns:
            the name of the file that is there, below the folder: the same name, else the only one
            of that name with another suffix of images; None if there is none, or several.
        """
        path = PurePosixPath(name)
        parent = str(path.parent)
        matches = self.alternatives(name)
        if not matches:
            return name if (self.folder / name).is_file() else None
        same = [match for match in matches if same_text(match) == same_text(path.name)]
        if not same:
            suffix = path.suffix.lower()
            same = [match for match in matches if Path(match).suffix.lower() == suffix] or matches
        if len(same) != 1:
            return None
        return same[0] if parent == "." else f"{parent}/{same[0]}"

    def alternatives(self, name: str) -> list[str]:
        """All images of that name, whatever their suffix."""
        path = PurePosixPath(name)
        return self._stems(str(path.parent)).get(same_text(without_image_suffix(path.name)), [])

    def _stems(self, parent: str) -> dict[str, list[str]]:
        """The images of a sub-folder by their name without suffix."""
        if parent not in self._listed:
            stems: dict[str, list[str]] = {}
            for name in image_names(self.folder / parent):
                stems.setdefault(same_text(without_image_suffix(name)), []).append(name)
            self._listed[parent] = stems
        return self._listed[parent]


def folder_with_most(folders: Iterable[Path], names: Iterable[str]) -> tuple[Path | None, int]:
    """The folder that holds the most of some images, the first of several, and how many.

    Args:
        folders: to choose from.
        names: of the images, as a label file has them.

    Returns:
        the folder, or None if none holds any, and the number of images there.
    """
    wanted = list(names)
    best: tuple[Path | None, int] = (None, 0)
    for folder in dict.fromkeys(folders):
        images = ImageFolder(folder)
        count = sum(images.find(name) is not None for name in wanted)
        if count > best[1]:
            best = (folder, count)
    return best
