"""Progress without a terminal: plain lines with losses, rate, speed, waiting share and time
left.
"""

import contextlib
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scripts.engine.training import pace
from scripts.engine.training import progress as module
from scripts.engine.training.progress import Progress


@pytest.fixture
def progress(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PLAIN_EVERY_S", 0.0)
    lines = tmp_path / "training.jsonl"
    shown = Progress(folder=tmp_path, lines=lines, title="net", start=10, total=13)
    yield shown
    shown.close()


def test_a_line_says_where_training_stands(progress, capsys):
    progress.step(10, {"a": 1.0, "b": 2.0}, total=21.0, lr=1e-3, images=4)
    line = capsys.readouterr().out
    for part in (
        "net  11/13",
        "loss 21.000",
        "a 1.000",
        "b 2.000",
        "lr 1.00e-03",
        "img/s",
        "data 0%",
        "min left",
    ):
        assert part in line


def test_the_time_left_is_that_of_the_updates_to_come(progress, capsys, monkeypatch):
    now = [progress.pace.ended[1]]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    for step, line in ((10, "5.0 img/s  data 0%  4.0 min left"), (11, "2.0 min left")):
        now[0] += 120.0
        progress.step(step, {"a": 1.0}, total=1.0, lr=1e-3, images=600)
        assert line in capsys.readouterr().out


@pytest.mark.fault("R04")
def test_an_output_file_on_a_full_disk_ends_no_training(progress, monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        progress.step(10, {"a": 1.0}, total=1.0, lr=1e-3, images=4)
        progress.say("a line")
        with pytest.raises(OSError, match="No space left"):
            print("another", flush=True)
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()


@pytest.mark.fault("R65")
def test_scalars_are_means_since_the_last_ones_and_nan_is_left_out(progress, tmp_path):
    """They are shown at the number of updates that are made, one more than the step."""
    for step, loss in ((10, 1.0), (11, 3.0)):
        progress.step(step, {"a": loss}, total=loss, lr=1e-3, images=1)
    progress.scalars(11, {"head/x": float("nan"), "train/lr": 0.5})
    progress.step(12, {"a": 7.0}, total=7.0, lr=1e-3, images=1)
    progress.scalars(12, {})
    progress.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/a")] == [(12, 2.0), (13, 7.0)]
    assert "head/x" not in events.Tags()["scalars"]


def test_statistics_have_their_groups_and_the_pace_of_the_training(progress, tmp_path):
    progress.step(10, {"a": 1.0}, total=1.0, lr=1e-3, images=4)
    named = {"gradient_norm": 2.0, "foreground_share": 0.5, "rpn/clamped_share": 0.0}
    progress.statistics(10, named, lr=1e-3)
    progress.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {
        "train/gradient_norm",
        "head/foreground_share",
        "rpn/clamped_share",
        "speed/images_per_second",
        "speed/waiting_for_data",
        "memory/process_gib",
    } <= tags
    (speed,) = events.Scalars("speed/images_per_second")
    assert speed.value > 0
