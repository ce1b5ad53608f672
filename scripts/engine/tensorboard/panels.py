"""Pictures of one image side by side, each under its title."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

LARGEST_FONT, SMALLEST_FONT = 16, 9  # px: a title that is too long gets a smaller one
TITLE_HEIGHT = 26
GAP = 6
PAPER, INK = (255, 255, 255), (20, 20, 20)
COLUMNS = 2


def panels(titled: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """One picture of several of the same size, in two columns, row after row.

    Args:
        titled: title and picture of each panel, at least one.
    """
    width, height = titled[0][1].size
    columns = min(COLUMNS, len(titled))
    rows = -(-len(titled) // columns)
    sheet = Image.new(
        "RGB",
        (columns * width + (columns - 1) * GAP, rows * (height + TITLE_HEIGHT)),
        PAPER,
    )
    pen = ImageDraw.Draw(sheet)
    for index, (title, picture) in enumerate(titled):
        row, column = divmod(index, columns)
        left, top = column * (width + GAP), row * (height + TITLE_HEIGHT)
        font = fitting_font(title, width - 4)
        pen.text((left + 2, top + TITLE_HEIGHT / 2), title, fill=INK, font=font, anchor="lm")
        sheet.paste(picture, (left, top + TITLE_HEIGHT))
    return sheet


def fitting_font(title: str, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest font in which a title is at most ``width`` px wide, or the smallest one."""
    for size in range(LARGEST_FONT, SMALLEST_FONT, -1):
        font = ImageFont.load_default(size=size)
        if font.getlength(title) <= width:
            return font
    return ImageFont.load_default(size=SMALLEST_FONT)
