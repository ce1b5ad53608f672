"""Where the labels of boxes stand in a picture, so that none hides another."""

from collections.abc import Iterator, Sequence

Rectangle = tuple[float, float, float, float]  # x1, y1, x2, y2 in px
Size = tuple[float, float]  # width, height in px


def place_labels(
    boxes: Sequence[Sequence[float]], sizes: Sequence[Size], picture: Size
) -> list[Rectangle | None]:
    """The place of each label; None where all places are taken by labels of earlier boxes.

    Args:
        boxes: (x1, y1, x2, y2) px, the most important first.
        sizes: of their labels.
        picture: its size.

    Law: no two places overlap.
    """
    placed: list[Rectangle | None] = []
    for box, size in zip(boxes, sizes, strict=True):
        taken = [place for place in placed if place is not None]
        free = (
            place
            for place in places_at(box, size, picture)
            if not any(overlap(place, other) for other in taken)
        )
        placed.append(next(free, None))
    return placed


def places_at(box: Sequence[float], size: Size, picture: Size) -> Iterator[Rectangle]:
    """The places at a box, the best one first: above it, below it, inside it; left, then right."""
    x1, y1, x2, y2 = box
    width, height = size
    for y in (y1 - height, y2, y1, y2 - height):
        for x in (x1, x2 - width):
            left = max(0.0, min(x, picture[0] - width))
            top = max(0.0, min(y, picture[1] - height))
            yield left, top, left + width, top + height


def overlap(first: Rectangle, second: Rectangle) -> bool:
    """Whether two rectangles have an area in common."""
    return (
        first[0] < second[2]
        and second[0] < first[2]
        and first[1] < second[3]
        and second[1] < first[3]
    )
