"""Faults in the middle of a training: what was trained until then is kept, and the same command
goes on to the same bits.
"""

import errno
import json
import os
import shutil
import signal
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data import workers
from data.reader import ImageReader
from models.detector import Detector
from scripts.engine.command import DIVERGED, ENVIRONMENT, STOPPED
from scripts.engine.run_folder.checkpoint import load_checkpoint, newest_checkpoint
from scripts.engine.training import training as module
from scripts.train import main
from tests.scripts.test_train import equal
from tests.tiny import TINY, TINY_KL, know_tiny, tiny_options
from tests.tiny import train_tiny as train


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    know_tiny(monkeypatch, {"kl_loss/tiny": TINY, "kl_loss/tiny_kl": TINY_KL})


def folder_of(out, name="tiny"):
    return out / "tiny" / "kl_loss" / name / "seed0"


def final(out, name="tiny"):
    return load_checkpoint(newest_checkpoint(folder_of(out, name)))


def validated(out):
    lines = (folder_of(out) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["updates"] for line in lines]


def command(data, out, *more):
    return main(["kl_loss/tiny", *tiny_options(data, out), *more])


def at_update(monkeypatch, step, act):
    """Calls ``act`` with the network before it makes update ``step``."""
    real = module.update

    def disturbed(detector, *args, **how):
        if how["step"] == step:
            act(detector)
        return real(detector, *args, **how)

    monkeypatch.setattr(module, "update", disturbed)


def full(*_, **__):
    raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB")


@pytest.fixture
def whole(data, tmp_path):
    """An undisturbed training of the same run."""
    assert train(data, tmp_path / "whole") == 0
    return final(tmp_path / "whole")


def test_updates_before_one_without_memory_are_saved(data, tmp_path, monkeypatch, capsys, whole):
    with monkeypatch.context() as patch:
        at_update(patch, 3, lambda _: patch.setattr(Detector, "losses", full))
        assert command(data, tmp_path) == ENVIRONMENT
    assert "Update 3 does not fit into the memory of cpu" in capsys.readouterr().err
    assert final(tmp_path)["step"] == 3
    assert command(data, tmp_path) == 0
    assert equal(final(tmp_path)["model"], whole["model"])


@pytest.mark.parametrize(("every", "made"), [(4, [4, 6]), (6, [6])])
def test_updates_before_a_validation_without_memory_are_saved(
    data, tmp_path, monkeypatch, capsys, every, made
):
    """And the validation is made by the same command."""
    options = ("--validate-every", str(every))
    with monkeypatch.context() as patch:
        patch.setattr(Detector, "candidates", full)
        assert command(data, tmp_path, *options) == ENVIRONMENT
    printed = capsys.readouterr().err
    assert "does not fit into the memory of cpu with " in printed
    assert len(printed.splitlines()) == 1
    assert final(tmp_path)["step"] == every
    assert not (folder_of(tmp_path) / "finished.json").exists()
    assert command(data, tmp_path, *options) == 0
    assert validated(tmp_path) == made


@pytest.mark.fault("R23")
def test_a_signal_in_a_validation_lets_it_end_and_saves(data, tmp_path, monkeypatch):
    real = module.validate

    def interrupted(*args):
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)

    options = ("--validate-every", "3")
    with monkeypatch.context() as patch:
        patch.setattr(module, "validate", interrupted)
        assert command(data, tmp_path, *options) == STOPPED
    assert final(tmp_path)["step"] == 3
    assert validated(tmp_path) == [3]
    assert command(data, tmp_path, *options) == 0
    assert validated(tmp_path) == [3, 6]


@pytest.mark.fault("R10")
def test_a_folder_that_cannot_be_written_is_said_before_the_network_is_built(
    data, tmp_path, monkeypatch, capsys
):
    def read_only(path, **how):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", read_only)
    monkeypatch.setattr(module, "prepare_training", None)  # a call would be an error
    assert command(data, tmp_path / "out") == ENVIRONMENT
    printed = capsys.readouterr().err
    assert printed.startswith("error: Nothing can be written in ")
    assert "(Read-only file system); make that folder writable, or choose another --out" in printed


def test_other_forward_passes_than_before_are_said(data, tmp_path, capsys):
    assert command(data, tmp_path, "--stop-after", "2") == 0
    assert command(data, tmp_path, "--accumulate", "2") == 0
    printed = capsys.readouterr().out
    assert printed.count("had 1 forward passes so far and has 2 from now on") == 1


@pytest.mark.fault("R38")
def test_a_missing_image_is_left_out_of_training_and_named(data, tmp_path, capsys):
    root = shutil.copytree(data, tmp_path / "data")
    (root / "train" / "000003.jpg").unlink()
    assert command(root, tmp_path / "out") == 0
    assert "000003.jpg: the image file does not exist" in capsys.readouterr().out


@pytest.mark.fault("R55")
def test_a_weight_that_is_nan_ends_the_training_before_it_spreads(
    data, tmp_path, monkeypatch, capsys
):
    assert train(data, tmp_path, stop_after=1) == 0
    before = final(tmp_path)

    def spoil(detector):
        with torch.no_grad():
            next(detector.backbone.parameters())[0, 0, 0, 0] = torch.nan

    at_update(monkeypatch, 3, spoil)
    assert command(data, tmp_path) == DIVERGED
    assert "At update 3 " in capsys.readouterr().err
    assert equal(final(tmp_path), before)


@pytest.mark.fault("R70")
def test_a_training_asks_no_network(data, tmp_path, monkeypatch):
    def blocked(*_, **__):
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(socket, "socket", blocked)
    monkeypatch.setattr(socket, "getaddrinfo", blocked)
    assert train(data, tmp_path, stop_after=1) == 0


@pytest.mark.fault("R11", "R12", "R16")
@pytest.mark.slow_fault
@pytest.mark.parametrize("run", ["tiny", "tiny_kl"])
def test_parts_around_an_epoch_with_other_workers_are_one_training(
    data, tmp_path, monkeypatch, run
):
    """An epoch has 6 updates of 2 images; every part has another number of workers."""
    runs = {"kl_loss/tiny": TINY, "kl_loss/tiny_kl": TINY_KL}
    longer = {name: longer_run(known, 13) for name, known in runs.items()}
    know_tiny(monkeypatch, longer)
    how = {"run": f"kl_loss/{run}"}
    assert train(data, tmp_path / "a", **how) == 0
    for stop, count in ((5, 0), (1, 2), (1, 4), (4, 2), (1, 0), (None, 2)):
        assert train(data, tmp_path / "b", stop_after=stop, workers=count, **how) == 0
    one, parts = final(tmp_path / "a", run), final(tmp_path / "b", run)
    assert one["step"] == parts["step"] == 13
    assert equal(one["model"], parts["model"])
    assert equal(one["optimizer"], parts["optimizer"])


def longer_run(run, iterations):
    return replace(run, train=replace(run.train, iterations=iterations))


@pytest.mark.fault("R29", "R30")
@pytest.mark.slow_fault
@pytest.mark.parametrize("hangs", [False, True])
def test_a_worker_that_is_killed_or_hangs_changes_no_weight(
    data, tmp_path, monkeypatch, capfd, hangs, whole
):
    real, once = ImageReader.read_training, tmp_path / "once"

    def disturbed(self, index, **how):
        if index == 5 and not once.exists():
            once.touch()
            if hangs:
                signal.pause()
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, index, **how)

    monkeypatch.setattr(ImageReader, "read_training", disturbed)
    monkeypatch.setattr(workers, "WORKER_TIMEOUT", 3.0)
    assert train(data, tmp_path, workers=2) == 0
    assert once.exists()
    assert "The workers are started anew (1 of 3 times)" in capfd.readouterr().err
    assert equal(final(tmp_path)["model"], whole["model"])
    assert equal(final(tmp_path)["optimizer"], whole["optimizer"])
