"""Pictures are drawn without a screen and written into folders that may not be there yet."""

from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

matplotlib.use("Agg")


def save_picture(figure: Figure, path: Path, *, dpi: int = 90) -> None:
    """Writes a figure as PNG and closes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi)
    plt.close(figure)
