"""What a check of one split says: what it holds, what is wrong, mended or left out."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from data.annotations import ImageTable
from data.errors import DataError
from data.image_files import SUFFIXES, image_names
from data.images import ImageFile, read_image_file
from data.problems import Problem, Severity, similar_names

NAMES: dict[Severity, str] = {  # of the numbers of problems that are printed
    "error": "errors",
    "box": "objects that cannot be used",
    "repaired": "mended",
    "suspect": "suspicious",
}


AMBIGUOUS = (
    ", and the image's size does not show whether its boxes were drawn before or after turning; it"
    " is turned upright, as viewers show it: look at its boxes, or save it without the tag"
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a split holds and all that is wrong with it; counts: the numbers to print, by what they
    count.
    """

    split: str
    problems: tuple[Problem, ...]
    counts: dict[str, int]

    @property
    def wrong(self) -> tuple[Problem, ...]:
        """The problems that are more than notes."""
        return tuple(problem for problem in self.problems if problem.severity != "note")

    def lines(self) -> Iterator[str]:
        """Every problem, the notes counted by their text, the counts, and the sum."""
        for problem in self.wrong:
            yield f"{self.split}: {problem}"
        yield from (f"{self.split}: note: {line}" for line in note_lines(self.problems))
        for what, number in self.counts.items():
            yield f"{self.split}: {number} {what}"
        numbers = Counter(problem.severity for problem in self.wrong)
        parts = [f"{numbers[kind]} {NAMES[kind]}" for kind in get_args(Severity) if numbers[kind]]
        listed = f" ({', '.join(parts)})" if parts else ""
        yield f"{self.split}: {len(self.wrong)} problems{listed}"


def check_table(split: str, table: ImageTable, folder: Path, problems: Sequence[Problem]) -> Report:
    """Checks the classes and every image of a split whose labels were read.

    Args:
        split: its name.
        table: what is usable of its labels.
        folder: of its images.
        problems: of its labels.
    """
    classes = [Problem(severity="suspect", file=str(folder), text=text)
               for text in similar_names(table.classes)]  # fmt: skip
    every = (*problems, *classes, *image_problems(table, folder))
    return Report(split=split, problems=tuple(dict.fromkeys(every)), counts=counts(table))


def note_lines(problems: Sequence[Problem]) -> Iterator[str]:
    """One line for all notes of the same text: how many, and the first."""
    notes = [problem for problem in problems if problem.severity == "note"]
    for text, number in Counter(note.text for note in notes).items():
        first = next(note for note in notes if note.text == text)
        if number == 1:
            yield str(first)
        else:
            where = ": ".join(part for part in (first.file, first.where) if part)
            yield f"{number} times: {text}; first in {where}"


def image_problems(table: ImageTable, folder: Path) -> Iterator[Problem]:
    """Decodes every image of a split and compares it with its labels and its file name."""
    for name, size in zip(table.file_names, table.sizes, strict=True):
        file = folder / name
        try:
            image = read_image_file(file, size)
        except DataError as error:
            text = str(error).removeprefix(f"{file}: ").removesuffix(".")
            yield Problem(severity="error", file=str(file), text=text)
            continue
        if file.suffix.lower() not in SUFFIXES.get(image.format, ()):
            text = f"the content is {image.format}, unlike the file name"
            yield Problem(severity="repaired", file=str(file), text=text)
        for severity, text in image_remarks(image):
            yield Problem(severity=severity, file=str(file), text=text)


def image_remarks(image: ImageFile) -> Iterator[tuple[Severity, str]]:
    """What a person should know of how an image was read."""
    if image.orientation != 1:
        tag = f"the EXIF orientation is {image.orientation}"
        if not image.sizes_decide:
            yield "suspect", f"{tag}{AMBIGUOUS}"
        elif image.turned:
            yield "note", f"{tag}: turned upright, as its labels have it"
        else:
            yield "note", f"{tag}: not turned, because its labels have the size of the stored image"
    if image.bits > 8:
        yield "note", f"gray values or colors of {image.bits} bits are scaled to 8"
    if image.frames > 1 and image.format != "MPO":
        yield "note", "the file has several pictures, of which the first is read"


def counts(table: ImageTable) -> dict[str, int]:
    """Images, usable objects, images without any, crowd and difficult objects, and objects of each
    class.
    """
    targets = table.targets
    per_class = Counter(targets.labels.tolist())
    return {
        "images": len(table.image_ids),
        "objects": len(targets.labels),
        "images without objects": int((targets.starts[1:] == targets.starts[:-1]).sum()),
        "crowd objects": int(targets.crowd.sum()),
        "difficult objects": int(targets.difficult.sum()),
        **{
            f"objects of class {name!r}": per_class[k]
            for k, name in enumerate(table.classes, start=1)
        },
    }


def unlabeled_images(table: ImageTable, folder: Path) -> list[Problem]:
    """A note on the images that lie beside those of a split and have no labels."""
    labeled = {str(folder / name) for name in table.file_names}
    places = sorted({(folder / name).parent for name in table.file_names})
    notes = []
    for place in places:
        others = [name for name in image_names(place) if str(place / name) not in labeled]
        if others:
            text = f"{len(others)} images have no labels and are left out, such as {others[0]!r}"
            notes.append(Problem(severity="note", file=str(place), text=text))
    return notes
