"""TensorBoard of a whole training: everything is there, nothing twice, and no bit of the network
depends on it.
"""

import pytest
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from data.errors import DataError
from scripts.engine.run_folder.checkpoint import load_checkpoint, newest_checkpoint
from scripts.engine.tensorboard import shown_images
from scripts.engine.tensorboard.budget import Budget
from scripts.engine.training import board as module
from scripts.engine.training.board import Board, is_look_due
from scripts.engine.update import update as update_module
from tests.scripts.test_train import equal, folder_of
from tests.tiny import TINY, TINY_KL, know_tiny, tiny_dataset, train_tiny


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def shown(monkeypatch):
    """Histograms at every second update, and time for all pictures, of one image."""
    know_tiny(monkeypatch, {"kl_loss/tiny": TINY, "kl_loss/tiny_kl": TINY_KL})
    monkeypatch.setattr(module, "HISTOGRAMS_EVERY", 2)
    monkeypatch.setattr(update_module, "STATISTICS_EVERY", 2)
    monkeypatch.setattr(Budget, "allows", True)
    monkeypatch.setattr(shown_images, "IMAGES", 1)


def points(folder):
    """{tag: the updates of its points}, as TensorBoard reads them."""
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return {tag: [event.step for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]}


def model_of(out):
    return load_checkpoint(newest_checkpoint(folder_of(out, "tiny_kl")))["model"]


@pytest.mark.fault("R64")
def test_after_a_crash_nothing_is_there_twice_and_nothing_is_missing(data, tmp_path, monkeypatch):
    """Five updates, of which a crash loses two, and the rest. The network is that of a training
    without any of it.
    """
    how = {"run": "kl_loss/tiny_kl", "validate_every": 3}
    for stop in (3, 2, None):
        train_tiny(data, tmp_path / "a", stop_after=stop, **how)
        if stop == 2:
            newest_checkpoint(folder_of(tmp_path / "a", "tiny_kl")).unlink()
    folder = folder_of(tmp_path / "a", "tiny_kl") / "tensorboard"
    known = points(folder)
    assert all(len(set(steps)) == len(steps) for steps in known.values())
    expected = {
        "train/roi_box": [1, 3, 5],
        "speed/images_per_second": [1, 3, 5],
        "box_head/log_variance_x1": [1, 3, 5],
        "rois/iou_foreground": [1, 3, 5],
        "run/text_summary": [1, 4],
        "val/AP50": [3, 6],
        "precision_recall/all_IoU_0.5": [3, 6],
        "validation/AP_over_IoU": [3, 6],
        "validation/reliability": [3, 6],
    }
    assert {tag: known.get(tag) for tag in expected} == expected
    images = [steps for tag, steps in known.items() if tag.startswith("images/")]
    assert images == [[3, 6]]
    assert len(list(folder.glob("*.hparams"))) == 1

    for name in ("updated", "validated", "look"):
        monkeypatch.setattr(Board, name, lambda *_: None)
    train_tiny(data, tmp_path / "b", run="kl_loss/tiny_kl")
    assert equal(model_of(tmp_path / "a"), model_of(tmp_path / "b"))


def test_a_training_without_validation_looks_now_and_then(data, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOOKS", 2)
    train_tiny(data, tmp_path)
    known = points(folder_of(tmp_path) / "tensorboard")
    images = [steps for tag, steps in known.items() if tag.startswith("images/")]
    assert images == [[3, 6]]
    assert [done for done in range(1, 101) if is_look_due(done, 100)] == [50, 100]


def test_a_picture_that_cannot_be_made_is_one_warning(data, tmp_path, monkeypatch, capsys):
    def broken(*_):
        raise DataError("The image is gone.")

    monkeypatch.setattr(module, "picture_of_sight", broken)
    assert train_tiny(data, tmp_path) == 0
    printed = capsys.readouterr().out
    assert printed.count("The image is gone.") == 1
    assert "which goes on" in printed
