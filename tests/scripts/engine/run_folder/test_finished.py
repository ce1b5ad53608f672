"""The network of a finished training whose step-*.pt were deleted is last.pt, for every command."""

from dataclasses import replace

import pytest

from data.build import build_dataset
from scripts.engine.evaluation.results import not_trained
from scripts.engine.places import RunPlace
from scripts.engine.run_folder.checkpoint import checkpoint_of, load_checkpoint, write_checkpoint
from scripts.engine.run_folder.finished import finished_network
from scripts.engine.run_folder.step_files import step_files
from scripts.engine.trained.trained import trained_run
from tests.tiny import TINY, know_tiny, train_tiny

LATER = replace(TINY, name="later", start="tiny")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    know_tiny(monkeypatch, {"kl_loss/tiny": TINY, "kl_loss/later": LATER})


@pytest.fixture
def place(data, tmp_path):
    """A finished training without a checkpoint to resume from."""
    assert train_tiny(data, tmp_path, validate_every=6) == 0
    place = RunPlace(out=tmp_path, scale="tiny", paper="kl_loss", run="tiny", seed=0)
    for path in step_files(place.folder):
        path.unlink()
    return place


def evaluated(place, data):
    return trained_run(TINY, place, build_dataset(TINY.data, data, "val"))


def test_last_weights_are_the_network_of_a_finished_training(place, data, capsys):
    assert finished_network(place) == place.last
    assert train_tiny(data, place.out) == 0
    assert "already trained (6 updates), nothing to do" in capsys.readouterr().out
    trained = evaluated(place, data)
    assert (trained.checkpoint, trained.updates) == (place.last, 6)
    assert train_tiny(data, place.out, "kl_loss/later", stop_after=1) == 0
    assert f"tensors from {place.last}" in capsys.readouterr().out
    assert checkpoint_of(place.folder) == place.best
    place.best.unlink()
    assert checkpoint_of(place.folder) == place.last


def test_weights_of_an_earlier_stop_are_not(place, data):
    """The disk was full when those of the end were to be written."""
    write_checkpoint(place.last, 3, {**load_checkpoint(place.last), "step": 3})
    assert finished_network(place) is None
    assert evaluated(place, data) is None
    assert "step-00000006.pt is not there and there is none before it" in not_trained(place)


def test_a_training_that_has_not_ended_has_none(place, data):
    place.finished.unlink()
    assert finished_network(place) is None
    assert evaluated(place, data) is None
