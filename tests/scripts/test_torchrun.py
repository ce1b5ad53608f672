"""Trainings that torchrun starts: signals, killed processes, restarts."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.engine.run_folder.checkpoint import load_checkpoint, newest_checkpoint
from tests.scripts.test_train import equal

ROOT = Path(__file__).parents[2]
RUN = "kl_loss/vgg16_coco_kl"
UPDATES = 40
KILLS = 5
LONGEST_S = 300.0

pytestmark = pytest.mark.slow_fault


class Torchrun:
    """Two processes that train a mini network for UPDATES updates, saving after each."""

    def __init__(self, data, out, *, restarts=0, slow_save_s=0.0):
        self.folder = out / "tiny" / RUN / "seed0"
        options = [RUN, "--scale", "tiny", "--data-root", data, "--out", out, "--device", "cpu"]
        self.launcher = subprocess.Popen(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
                *("--nproc-per-node", "2", "--max-restarts", str(restarts)),
                *("-m", "tests.short_training", str(UPDATES), *map(str, options)),
            ],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "SLOW_SAVE_S": str(slow_save_s)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def processes(self):
        """The numbers of the two trainings as they have left signs of life."""
        beats = self.folder.glob("heartbeats/process-*.json")
        return [json.loads(path.read_text())["pid"] for path in sorted(beats)]

    def wait_until(self, updates, other_than=()):
        """Waits for a checkpoint after so many updates, and two processes that are not others'."""
        until = time.monotonic() + LONGEST_S
        while self.launcher.poll() is None and time.monotonic() < until:
            now = self.processes()
            steps = [int(path.stem[5:]) for path in self.folder.glob("step-*.pt")]
            if (
                max(steps, default=0) >= updates
                and len(now) == 2
                and not set(now) & set(other_than)
            ):
                return now
            time.sleep(0.05)
        raise AssertionError(self.launcher.communicate()[0])

    def end(self):
        """Waits for the end; the launcher's exit code and all that was printed."""
        printed, _ = self.launcher.communicate(timeout=LONGEST_S)
        return self.launcher.returncode, printed

    def status(self):
        return json.loads((self.folder / "status.json").read_text())

    def state(self):
        return load_checkpoint(newest_checkpoint(self.folder))


def are_gone(processes):
    """Whether none of these processes runs any more."""
    return not any(Path(f"/proc/{number}").exists() for number in processes)


@pytest.mark.fault("R19", "R20")
@pytest.mark.parametrize("whom", ["launcher", "first", "second"])
def test_a_signal_to_one_stops_both_at_one_update_and_the_rest_follows(data, tmp_path, whom):
    training = Torchrun(data, tmp_path)
    processes = training.wait_until(2)
    goal = {"launcher": training.launcher.pid, "first": processes[0], "second": processes[1]}
    os.kill(goal[whom], signal.SIGTERM)
    code, printed = training.end()
    assert code != 0
    assert are_gone(processes)
    status = training.status()
    assert status["state"] == "preempted", printed
    assert training.state()["step"] == status["step"] < UPDATES
    again = Torchrun(data, tmp_path)
    assert again.end()[0] == 0
    assert again.status()["state"] == "done"


@pytest.mark.fault("R20")
def test_the_others_wait_until_the_first_has_saved(data, tmp_path):
    """torchrun ends all processes when one has ended with another code than 0."""
    training = Torchrun(data, tmp_path, slow_save_s=4.0)
    for process in training.wait_until(2):
        os.kill(process, signal.SIGUSR1)
    _, printed = training.end()
    status = training.status()
    assert status["state"] == "preempted", printed
    assert training.state()["step"] == status["step"]


@pytest.mark.fault("R25")
def test_killed_processes_are_restarted_and_end_with_the_same_bits(data, tmp_path):
    whole = Torchrun(data, tmp_path / "whole")
    assert whole.end()[0] == 0
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed of the kills: {seed}")  # shown with a failure, and with -s
    draw = random.Random(seed)
    training = Torchrun(data, tmp_path / "killed", restarts=KILLS)
    processes = []
    for kill in range(KILLS):
        processes = training.wait_until(kill, processes)
        time.sleep(draw.uniform(0, 1))
        os.kill(draw.choice(processes), signal.SIGKILL)
    code, printed = training.end()
    assert code == 0, printed
    assert equal(whole.state()["model"], training.state()["model"])
    assert equal(whole.state()["optimizer"], training.state()["optimizer"])
