"""Full disks and damaged files in a training: what is good stays, the training goes on from it, and
the same command ends with the same weights.
"""

import os
import signal

import pytest

from scripts.engine import files
from scripts.engine.command import ENVIRONMENT, EnvironmentFault
from scripts.engine.run_folder.checkpoint import load_checkpoint, newest_checkpoint, save_checkpoint
from scripts.engine.training import saving as training_files
from scripts.engine.training import training as module
from scripts.train import main
from tests.scripts.test_train import equal
from tests.tiny import TINY, know_tiny, tiny_options
from tests.tiny import train_tiny as train


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    know_tiny(monkeypatch, {"kl_loss/tiny": TINY})


def folder_of(out):
    return out / "tiny" / "kl_loss" / "tiny" / "seed0"


def final(out):
    return load_checkpoint(newest_checkpoint(folder_of(out)))


def command(data, out, *more):
    return main(["kl_loss/tiny", *tiny_options(data, out), *more])


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_finished_run_whose_last_checkpoint_is_damaged_is_finished_again(data, tmp_path, capsys):
    for stop in (2, None):
        train(data, tmp_path, stop_after=stop)
    before = final(tmp_path)
    last = newest_checkpoint(folder_of(tmp_path))
    flip_a_byte(last)
    capsys.readouterr()
    assert command(data, tmp_path) == 0
    printed = capsys.readouterr().out
    assert "is finished, but its last checkpoint step-00000006.pt is damaged" in printed
    assert "goes on from step-00000002.pt (update 2)" in printed
    assert "already trained" not in printed
    assert equal(before["model"], final(tmp_path)["model"])
    assert last.with_name(last.name + ".corrupt").is_file()


def test_a_finished_run_without_any_whole_checkpoint_is_refused(data, tmp_path, capsys):
    train(data, tmp_path)
    flip_a_byte(newest_checkpoint(folder_of(tmp_path)))
    assert command(data, tmp_path) == 2
    printed = capsys.readouterr().err
    assert "step-00000006.pt is damaged and there is none before it" in printed
    assert len(printed.splitlines()) == 1


@pytest.mark.fault("R07")
@pytest.mark.slow_fault
def test_without_any_note_a_training_goes_on_where_it_was(data, tmp_path, capsys):
    train(data, tmp_path, stop_after=2)
    train(data, tmp_path, stop_after=2)
    for note in folder_of(tmp_path).glob("step-*.json"):
        note.unlink()
    train(data, tmp_path)
    assert "step-00000004.pt at update 4" in capsys.readouterr().out
    assert final(tmp_path)["step"] == 6


@pytest.mark.fault("R07")
def test_checkpoints_that_cannot_be_used_are_no_fresh_start(data, tmp_path, capsys):
    train(data, tmp_path, stop_after=2)
    flip_a_byte(newest_checkpoint(folder_of(tmp_path)))
    for _ in range(2):
        assert command(data, tmp_path) == 2
        assert "can be used (step-00000002.pt)" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["optimizer", "seed", "seconds"])
def test_a_file_that_lacks_a_part_is_not_resumed(data, tmp_path, capsys, part):
    train(data, tmp_path / "a", stop_after=1)
    state = final(tmp_path / "a")
    del state[part]
    path = save_checkpoint(tmp_path / "part", 1, state)
    assert command(data, tmp_path / "b", "--resume", str(path)) == 2
    printed = capsys.readouterr().err
    assert "weights alone" in printed if part == "optimizer" else f"lacks {part}" in printed
    assert len(printed.splitlines()) == 1


@pytest.mark.parametrize("name", ["finished.json", "run.json"])
@pytest.mark.parametrize("content", ["", '{"step": 6', "[1]", "{}"])
def test_a_damaged_small_file_is_named(data, tmp_path, capsys, name, content):
    train(data, tmp_path)
    path = folder_of(tmp_path) / name
    path.write_text(content)
    assert command(data, tmp_path) == 2
    printed = capsys.readouterr().err
    assert str(path) in printed
    assert len(printed.splitlines()) == 1


def full_after(monkeypatch, updates):
    """The disk is full from the checkpoint after so many updates on."""
    real = files.torch.save

    def save(content, file):
        if content.get("step", 0) < updates:
            return real(content, file)
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.torch, "save", save)


@pytest.mark.fault("R03")
@pytest.mark.parametrize("by_signal", [True, False])
def test_a_full_disk_at_the_last_save_says_what_is_saved(
    data, tmp_path, capsys, monkeypatch, by_signal
):
    train(data, tmp_path / "whole")
    train(data, tmp_path, stop_after=2)
    real = module.update

    def interrupted(*args, step, **how):
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, step=step, **how)

    with monkeypatch.context() as patch:
        full_after(patch, 3)
        if by_signal:
            patch.setattr(module, "update", interrupted)
        capsys.readouterr()
        assert command(data, tmp_path) == ENVIRONMENT
    printed = capsys.readouterr()
    after = 4 if by_signal else 6
    assert f"the checkpoint after update {after} could not be saved" in printed.err
    assert "No space left on device" in printed.err
    assert "the newest good checkpoint is of update 2" in printed.err
    assert "the same command continues" not in printed.out
    assert len(printed.err.splitlines()) == 1
    assert not (folder_of(tmp_path) / "finished.json").exists()
    assert command(data, tmp_path) == 0
    assert equal(final(tmp_path / "whole")["model"], final(tmp_path)["model"])


@pytest.mark.fault("R03")
def test_a_full_disk_in_between_is_a_warning_and_tried_again(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "SAVE_EVERY_S", -1.0)  # after each update
    saved, real = [], training_files.save_checkpoint

    def save(folder, step, state, **how):
        if step in (2, 3):
            raise EnvironmentFault("it needs 9 bytes; 5 bytes are free in x")
        saved.append(step)
        return real(folder, step, state, **how)

    monkeypatch.setattr(training_files, "save_checkpoint", save)
    assert train(data, tmp_path) == 0
    printed = capsys.readouterr().out
    assert saved == [1, 4, 5, 6]
    for step in (2, 3):
        assert (
            f"warning: the checkpoint after update {step} could not be saved: it needs 9 bytes; "
            "5 bytes are free in x; the newest good checkpoint is of update 1; free some disk space"
        ) in printed


@pytest.mark.fault("R67")
def test_temporary_files_of_a_killed_training_are_removed_and_counted(data, tmp_path, capsys):
    train(data, tmp_path, stop_after=1)
    left = folder_of(tmp_path) / f".step-00000002.pt.{2**22 + 1}.tmp"  # above the largest number
    left.write_bytes(b"half")
    train(data, tmp_path, stop_after=1)
    assert "removed 1 temporary files of processes that were killed" in capsys.readouterr().out
    assert not left.exists()
