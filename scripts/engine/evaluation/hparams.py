"""TensorBoard's table of settings and numbers (its hparams tab): a line for each run, and one for
each row of a table that was evaluated.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from experiments.records import Row, Run
from scripts.engine.places import RunPlace
from scripts.engine.processes import is_first

SUFFIX = ".hparams"  # of the event file
# the columns, the same in every file: TensorBoard takes those of the first one that it finds
VALIDATED = ("val/AP", "val/AP50", "val/AP75", "val/coverage1")
TABLE = ("AP", "AP50", "AP75", "AP90", "mAP", "coverage1")  # as table/AP and so on

Settings = dict[str, str | float | bool]


def run_settings(run: Run, place: RunPlace) -> Settings:
    """The settings in which runs differ."""
    model, train = run.model, run.train
    return {
        "run": f"{place.paper}/{run.name}",
        "scale": place.scale,
        "seed": place.seed,
        "backbone": model.backbone.name,
        "rpn": model.rpn.kind,
        "head": model.roi.head,
        "box_loss": model.roi.box_loss,
        "box_coding": model.roi.box_coding,
        "optimizer": train.optimizer,
        "lr": train.lr,
        "batch_size": train.batch_size,
        "updates": train.iterations,
        "weight_decay": train.weight_decay,
        "roi_loss_weight": train.roi_loss_weight,
        "start": run.start,
        "row": "",
        "suppression": "",
        "sigma_t": "",
    }


def row_settings(row: Row) -> Settings:
    """What a row of a table adds to the settings of its run."""
    return {
        "row": row.name,
        "suppression": row.postprocess.suppression,
        "sigma_t": f"{row.postprocess.sigma_t:g}",
    }


def write_row(
    row: Row, table: str, run: Run, place: RunPlace, numbers: Mapping[str, float], updates: int
) -> None:
    """Writes the numbers of a table's row beside the events of its run, as a line of the tab.

    A run without events is left as it is, and a disk that is full costs the line alone.

    Args:
        row: that was evaluated.
        table: its table, for example "kl_loss/table1".
        run: at its scale.
        place: of the run.
        numbers: of the row, by column.
        updates: that the network has made.
    """
    if not (is_first() and place.tensorboard.is_dir()):
        return
    folder = place.tensorboard / table / re.sub(r"[^\w.+-]+", "_", row.name)
    known = {f"table/{name}": numbers[name] for name in TABLE if name in numbers}
    try:
        write_settings(
            folder, {**run_settings(run, place), **row_settings(row)}, known, updates=updates
        )
    except OSError as error:
        print(f"warning: {folder} cannot be written ({error}); TensorBoard lacks this row.")


def write_settings(
    folder: Path,
    settings: Settings,
    numbers: Mapping[str, float] | None = None,
    *,
    updates: int = 0,
) -> None:
    """Writes the settings of a run, and numbers of it, anew: an earlier file of ours goes.

    Args:
        folder: of the run's events, or of a row below it.
        settings: by name.
        numbers: scalars that the folder has nowhere else, by tag.
        updates: that the network has made.

    Raises:
        OSError: it cannot be written.
    """
    for path in folder.glob(f"*{SUFFIX}"):
        path.unlink()
    columns = [*VALIDATED, *(f"table/{name}" for name in TABLE)]
    summaries = hparams(settings, dict.fromkeys(columns, 0.0))
    with SummaryWriter(str(folder), filename_suffix=SUFFIX) as writer:
        for summary in summaries:
            writer._get_file_writer().add_summary(summary)
        for name, value in (numbers or {}).items():
            writer.add_scalar(name, value, updates)
