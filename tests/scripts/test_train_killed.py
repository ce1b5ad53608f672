"""kill -9 at random moments, also while a checkpoint is written: the same command goes on to the
same bits.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.engine.run_folder.checkpoint import load_checkpoint, newest_checkpoint
from tests.scripts.test_train import equal
from tests.tiny import tiny_dataset

ROOT = Path(__file__).parents[2]
RUN = "kl_loss/vgg16_coco_kl"
UPDATES = 24
KILLS = 20
LATEST_S = 4.0  # seconds after the network was built, until which a training is killed


def started(data, out):
    """A training of UPDATES updates in a process of its own, from when its network is built."""
    options = [RUN, "--scale", "tiny", "--data-root", data, "--out", out, "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-um", "tests.short_training", str(UPDATES), *map(str, options)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("network:"):
            break
    return process


def ends_well(process):
    """Waits for the end of a training; whether it was one without an error."""
    printed, _ = process.communicate(timeout=600)
    assert process.returncode == 0, printed
    return printed


def folder_of(out):
    return out / "tiny" / RUN / "seed0"


def killed_after(process, seconds):
    """Kills a training after so many seconds; whether it was still at work."""
    time.sleep(seconds)
    process.kill()
    process.communicate(timeout=60)
    return process.returncode < 0


@pytest.mark.fault("R01", "R67")
@pytest.mark.slow_fault
def test_killed_at_random_moments_a_training_ends_with_the_same_bits(tmp_path):
    """A training that ends before it was killed often enough is followed by another one."""
    data = tiny_dataset(tmp_path)
    ends_well(started(data, tmp_path / "whole"))
    whole = load_checkpoint(newest_checkpoint(folder_of(tmp_path / "whole")))
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed of the moments: {seed}")  # shown with a failure, and with -s
    draw = random.Random(seed)
    kills = saving = trainings = 0
    while kills < KILLS:
        trainings += 1
        out = tmp_path / f"killed{trainings}"
        while kills < KILLS and not (folder_of(out) / "finished.json").exists():
            kills += killed_after(started(data, out), draw.uniform(0, LATEST_S))
            saving += bool(list(folder_of(out).glob(".*.tmp")))
        if not (folder_of(out) / "finished.json").exists():
            ends_well(started(data, out))
        parts = load_checkpoint(newest_checkpoint(folder_of(out)))
        assert parts["step"] == whole["step"] == UPDATES
        assert equal(parts["model"], whole["model"])
        assert equal(parts["optimizer"], whole["optimizer"])
        assert not list(folder_of(out).glob(".*.tmp"))
        assert not list(folder_of(out).glob("*.corrupt"))
    print(f"{kills} kills in {trainings} trainings, {saving} while a file was written")
