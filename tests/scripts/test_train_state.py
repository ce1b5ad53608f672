"""What a training says of itself in its folder, how signals end it, and that it has the folder
alone.
"""

import json
import multiprocessing
import os
import shutil
import signal
import sys
from dataclasses import replace

import pytest
import torch

from scripts.engine import stopping
from scripts.engine.command import BAD_DATA, DIVERGED, ENDED_AT_ONCE, STOPPED, WRONG_INPUT
from scripts.engine.run_folder.checkpoint import load_checkpoint, newest_checkpoint
from scripts.engine.run_folder.lock import held
from scripts.engine.stopping import STOP_SIGNALS
from scripts.engine.training import training as module
from scripts.engine.update import update as update_module
from scripts.train import main
from tests.tiny import TINY, know_tiny, tiny_options
from tests.tiny import train_tiny as train

RUNS = {"kl_loss/tiny": TINY}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    runs = dict(RUNS)
    know_tiny(monkeypatch, runs)
    return runs


def folder_of(out):
    return out / "tiny" / "kl_loss" / "tiny" / "seed0"


def read(out, name):
    return json.loads((folder_of(out) / name).read_text())


def state_of(out):
    status = read(out, "status.json")
    return status["state"], status["step"], status["of_steps"]


def command(data, out, *more):
    return main(["kl_loss/tiny", *tiny_options(data, out), *more])


def signals_at_update(monkeypatch, step, *numbers):
    """Sends signals to this process while it makes an update."""
    real = module.update

    def interrupted(*args, **how):
        if how["step"] == step:
            for number in numbers:
                os.kill(os.getpid(), number)
        return real(*args, **how)

    monkeypatch.setattr(module, "update", interrupted)


@pytest.mark.fault("R22")
@pytest.mark.parametrize("number", STOP_SIGNALS)
@pytest.mark.usefixtures("no_ignored_signals")
def test_every_stop_signal_ends_after_the_update_with_a_checkpoint(
    data, tmp_path, monkeypatch, number
):
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    signals_at_update(monkeypatch, 2, number)
    assert command(data, tmp_path) == STOPPED
    assert load_checkpoint(newest_checkpoint(folder_of(tmp_path)))["step"] == 3
    assert state_of(tmp_path) == ("preempted", 3, 6)
    assert {number: signal.getsignal(number) for number in STOP_SIGNALS} == handlers


@pytest.mark.fault("R21")
def test_a_second_signal_ends_at_once_with_what_was_saved_before(data, tmp_path, monkeypatch):
    train(data, tmp_path, stop_after=1)
    monkeypatch.setattr(stopping, "SAME_S", -1.0)
    signals_at_update(monkeypatch, 2, signal.SIGTERM, signal.SIGTERM)
    assert command(data, tmp_path) == ENDED_AT_ONCE
    assert load_checkpoint(newest_checkpoint(folder_of(tmp_path)))["step"] == 1
    assert state_of(tmp_path) == ("failed", 2, 6)


@pytest.mark.fault("R22")
def test_the_warning_of_a_scheduler_may_come_twice(data, tmp_path, monkeypatch):
    monkeypatch.setattr(stopping, "SAME_S", -1.0)
    signals_at_update(monkeypatch, 2, signal.SIGUSR1, signal.SIGUSR1, signal.SIGHUP)
    assert command(data, tmp_path) == STOPPED


@pytest.mark.fault("R21")
def test_a_signal_that_reaches_a_training_by_two_ways_is_one(data, tmp_path, monkeypatch):
    """To the process group, and passed on by a launcher."""
    monkeypatch.setattr(stopping, "SAME_S", 1e6)
    signals_at_update(monkeypatch, 2, signal.SIGTERM, signal.SIGTERM, signal.SIGINT)
    assert command(data, tmp_path) == STOPPED


def test_a_signal_before_the_first_update_has_nothing_to_save(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "prepare_training", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert command(data, tmp_path) == STOPPED
    assert "stopped; run the same command again" in capsys.readouterr().err
    assert not list(folder_of(tmp_path).iterdir())


def test_under_nohup_a_closing_terminal_is_ignored(data, tmp_path, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        signals_at_update(monkeypatch, 2, signal.SIGHUP)
        assert command(data, tmp_path) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def train_in_a_group_of_its_own(data, out, pipe):
    """A training with workers; says through the pipe that it makes its third update."""
    os.setsid()
    torch.set_num_threads(1)
    real = module.update

    def announced(*args, **how):
        if how["step"] == 2:
            pipe.send("in the third update")
            pipe.recv()  # when the signal has been sent
        return real(*args, **how)

    with pytest.MonkeyPatch.context() as patch:
        know_tiny(patch, RUNS)
        patch.setattr(module, "update", announced)
        sys.exit(command(data, out, "--workers", "2"))


@pytest.mark.fault("R24")
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow_fault)]
)
def test_a_signal_to_the_whole_process_group_loses_nothing(data, tmp_path, capfd, number):
    method = "spawn" if torch.cuda.is_initialized() else "fork"
    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    process = context.Process(target=train_in_a_group_of_its_own, args=(data, tmp_path, there))
    process.start()
    here.recv()
    os.killpg(process.pid, number)
    here.send("sent")
    process.join(60)
    assert "started anew" not in capfd.readouterr().err  # no worker heard it
    assert process.exitcode == STOPPED
    assert load_checkpoint(newest_checkpoint(folder_of(tmp_path)))["step"] == 3
    assert state_of(tmp_path) == ("preempted", 3, 6)


def test_status_says_running_done_and_how_a_training_failed(data, tmp_path, monkeypatch, tiny):
    states = []
    real = module.update

    def recorded(*args, **how):
        states.append(state_of(tmp_path / "a"))
        return real(*args, **how)

    with monkeypatch.context() as patch:
        patch.setattr(module, "update", recorded)
        patch.setattr(module, "SAVE_EVERY_S", 0.0)
        assert command(data, tmp_path / "a") == 0
    assert states == [("running", step, 6) for step in range(6)]
    assert state_of(tmp_path / "a") == ("done", 6, 6)
    assert read(tmp_path / "a", "status.json")["pid"] == os.getpid()
    tiny["kl_loss/tiny"] = replace(TINY, train=replace(TINY.train, lr=1e30, warmup_iterations=0))
    assert command(data, tmp_path / "b") == DIVERGED
    assert state_of(tmp_path / "b")[0] == "diverged"
    assert "not finite" in read(tmp_path / "b", "status.json")["sentence"]


def test_data_that_fail_during_a_training_have_their_own_exit_code(data, tmp_path, capsys):
    """What was trained until then is saved."""
    root = shutil.copytree(data, tmp_path / "data")
    assert command(root, tmp_path, "--stop-after", "1") == 0
    for image in root.glob("train/*.jpg"):
        image.write_bytes(b"")
    assert command(root, tmp_path) == BAD_DATA
    assert "training images could not be read" in capsys.readouterr().err
    assert state_of(tmp_path)[0] == "failed"


@pytest.mark.fault("R38")
def test_updates_before_the_data_fail_are_saved(data, tmp_path, monkeypatch):
    root = shutil.copytree(data, tmp_path / "data")
    real = module.update

    def broken(*args, **how):
        if how["step"] == 1:
            for image in root.glob("train/*.jpg"):
                image.write_bytes(b"")
        return real(*args, **how)

    monkeypatch.setattr(module, "update", broken)
    assert command(root, tmp_path) == BAD_DATA
    assert state_of(tmp_path)[:2] == ("failed", 2)
    assert load_checkpoint(newest_checkpoint(folder_of(tmp_path)))["step"] == 2


def hold(folder, pipe):
    with held(folder):
        pipe.send(None)
        signal.pause()


@pytest.mark.fault("R09")
def test_a_second_training_in_a_folder_is_refused_until_the_first_is_gone(data, tmp_path, capsys):
    context = multiprocessing.get_context("fork")
    reading, writing = context.Pipe(duplex=False)
    process = context.Process(target=hold, args=(folder_of(tmp_path), writing))
    process.start()
    reading.recv()
    assert command(data, tmp_path) == WRONG_INPUT
    assert f"is in use by process {process.pid} on {os.uname().nodename} (since " in (
        capsys.readouterr().err
    )
    assert newest_checkpoint(folder_of(tmp_path)) is None
    process.kill()
    process.join()
    assert command(data, tmp_path, "--stop-after", "1") == 0
    assert f"note: process {process.pid} on" in capsys.readouterr().out
    assert command(data, tmp_path) == 0
    assert "note: process" not in capsys.readouterr().out
    assert not (folder_of(tmp_path) / "lock.json").exists()


def test_losses_and_starts_of_all_parts_of_a_training_are_kept(data, tmp_path, monkeypatch):
    """Lines of updates that are made again are there once."""
    monkeypatch.setattr(update_module, "STATISTICS_EVERY", 1)
    for stop in (2, 2):
        train(data, tmp_path, stop_after=stop)
    newest_checkpoint(folder_of(tmp_path)).unlink()
    train(data, tmp_path)
    lines = (folder_of(tmp_path) / "training.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(6))
    assert {"train/loss", "train/lr", "train/gradient_norm"} <= json.loads(lines[0]).keys()
    starts = read(tmp_path, "env.json")
    assert [start["step"] for start in starts] == [0, 2, 2]
    assert starts[0]["torch"].split("+")[0] == torch.__version__.split("+")[0]
