"""TensorBoard's table of settings and numbers (its hparams tab): a line for each run, and one for
each row of a table that was evaluated.
"""

from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from experiments.records import Row, Run
from scripts.engine.places import RunPlace

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
