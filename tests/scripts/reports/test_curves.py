"""Learning curves: read back from TensorBoard files, averaged over bins, one line a run, seed and
bin.
"""

from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from scripts.engine.places import RunPlace
from scripts.reports import curves
from scripts.reports.files import ReportPlace


def write(folder: Path, values: dict[int, float]) -> None:
    with SummaryWriter(str(folder / "tensorboard")) as writer:
        for step, value in values.items():
            writer.add_scalar("train/loss", value, step)


def test_a_bin_is_the_mean_of_its_updates(tmp_path):
    write(tmp_path, {0: 4.0, 20: 2.0, 100: 1.0})
    assert curves.read_curve(tmp_path / "tensorboard") == {"train/loss": {0: 3.0, 100: 1.0}}


def test_every_run_and_seed_of_a_table_is_a_line(tmp_path):
    for run, seed, value in (
        ("vgg16_coco", 0, 1.0),
        ("vgg16_coco", 1, 2.0),
        ("vgg16_coco_kl", 0, 3.0),
    ):
        write(
            RunPlace(out=tmp_path, scale="mini", paper="kl_loss", run=run, seed=seed).folder,
            {0: value},
        )
    found = curves.table_curves(ReportPlace(table="kl_loss/table1", scale="mini", out=tmp_path))
    assert curves.csv_lines(found) == [
        ["run", "seed", "update", "train/loss"],
        ["vgg16_coco", 0, 0, "1"],
        ["vgg16_coco", 1, 0, "2"],
        ["vgg16_coco_kl", 0, 0, "3"],
    ]
    curves.draw(found, tmp_path / "curves.png", "title")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_trained_is_a_sentence(tmp_path):
    with pytest.raises(
        ValueError, match="No TensorBoard files of kl_loss/table1 at scale mini lie below"
    ):
        curves.table_curves(ReportPlace(table="kl_loss/table1", scale="mini", out=tmp_path))
