"""Which checkpoints of a folder are whole, stay, or are set aside; nothing starts anew unasked."""

import json
import os
from pathlib import Path

import pytest
import torch

from scripts.engine.run_folder.checkpoint import load_checkpoint, save_checkpoint
from scripts.engine.run_folder.step_files import (
    KEPT,
    checkpoint_to_continue,
    newest_checkpoint,
    step_files,
    step_path,
)


def save(folder, *steps, warn=print):
    model = {"weight": torch.arange(200.0)}
    for step in steps:
        save_checkpoint(
            folder, step, {"model": model, "step": step, "run": {}, "seed": 0}, warn=warn
        )
    return [step_path(folder, step) for step in steps]


def flip(path, place=0.5):
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 1
    path.write_bytes(content)


def names(folder, pattern="step-*.pt"):
    return sorted(path.name for path in folder.glob(pattern))


def test_what_was_just_written_stays_below_two_damaged_ones(tmp_path):
    for path in save(tmp_path, 8, 9):
        flip(path)
    save(tmp_path, 3, 4, 5)
    kept = [step_path(tmp_path, step).name for step in (4, 5, 8, 9)]
    assert names(tmp_path) == kept


def test_going_on_from_an_older_one_keeps_the_newest_whole_ones(tmp_path):
    save(tmp_path, 8, 9)
    save(tmp_path, 3, 4, 5)
    assert names(tmp_path) == [step_path(tmp_path, step).name for step in (4, 5, 8, 9)]
    save(tmp_path, 10)
    assert names(tmp_path) == [step_path(tmp_path, step).name for step in (9, 10)]


def test_a_damaged_one_does_not_count_as_kept(tmp_path):
    flip(save(tmp_path, 1, 2)[1])
    save(tmp_path, 3)
    assert names(tmp_path) == [step_path(tmp_path, step).name for step in (1, 3)]
    assert KEPT == 2


@pytest.mark.fault("R68")
def test_one_that_cannot_be_removed_is_one_warning_and_the_others_go(tmp_path, monkeypatch):
    first, second, third = save(tmp_path, 1, 2, 3)[:3]
    save_checkpoint(tmp_path, 1, {"model": {}, "step": 1, "run": {}})
    real = Path.unlink

    def stubborn(path, missing_ok=False):
        if path == first:
            raise PermissionError(1, "Operation not permitted")
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", stubborn)
    warnings = []
    fourth = save(tmp_path, 4, warn=warnings.append)[0]
    assert len(warnings) == 1
    assert f"{first} is not needed any more and cannot be removed" in warnings[0]
    assert not second.exists()
    assert third.exists()
    assert newest_checkpoint(tmp_path) == fourth


def test_lost_notes_are_written_again(tmp_path):
    before = {}
    for path in save(tmp_path, 1, 2):
        before[path] = json.loads(path.with_suffix(".json").read_text())
        path.with_suffix(".json").unlink()
    newest = step_path(tmp_path, 2)
    assert checkpoint_to_continue(tmp_path) == newest
    assert json.loads(newest.with_suffix(".json").read_text()) == before[newest]
    assert load_checkpoint(newest)["step"] == 2


@pytest.mark.parametrize("note", ["", "{", "[]", '{"step": 2}'])
def test_a_damaged_note_is_a_lost_one(tmp_path, note):
    path = save(tmp_path, 1, 2)[1]
    path.with_suffix(".json").write_text(note)
    assert newest_checkpoint(tmp_path) == path


@pytest.mark.fault("R06")
def test_damaged_ones_are_set_aside_with_their_notes_and_named(tmp_path, capsys):
    first, second = save(tmp_path, 1, 2)
    flip(second)
    assert checkpoint_to_continue(tmp_path) == first
    printed = capsys.readouterr().out
    assert f"{second} is incomplete or damaged and is now called {second.name}.corrupt" in printed
    assert names(tmp_path, "*.corrupt") == [
        "step-00000002.json.corrupt",
        "step-00000002.pt.corrupt",
    ]
    assert step_files(tmp_path) == [first]


def test_a_reader_renames_nothing(tmp_path):
    first, second = save(tmp_path, 1, 2)
    flip(second)
    assert newest_checkpoint(tmp_path) == first
    assert second.exists()


@pytest.mark.parametrize("noted", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_nothing_usable_is_refused_every_time(tmp_path, share, noted):
    for path in save(tmp_path, 1, 2):
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        if not noted:
            path.with_suffix(".json").unlink()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"None of the checkpoints in .* can be used") as error:
            checkpoint_to_continue(tmp_path)
        assert "delete the folder to train again from the start" in str(error.value)
    assert len(step_files(tmp_path)) == 2


def test_a_folder_without_checkpoints_is_a_start(tmp_path):
    assert checkpoint_to_continue(tmp_path) is None
    assert checkpoint_to_continue(tmp_path / "none") is None


def test_an_archive_that_is_no_checkpoint_is_not_one(tmp_path):
    torch.save({"weight": torch.zeros(3)}, step_path(tmp_path, 7))
    step_path(tmp_path, 8).write_bytes(b"PK\x05\x06" + bytes(18))
    assert newest_checkpoint(tmp_path) is None


@pytest.mark.fault("R66")
def test_the_newest_is_so_by_its_number_and_not_by_its_time(tmp_path):
    first, second = save(tmp_path, 1, 2)
    os.utime(first, (2e9, 2e9))
    os.utime(second, (1.0, 1.0))
    assert newest_checkpoint(tmp_path) == second


@pytest.mark.fault("R05")
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_one_that_was_cut_anywhere_is_set_aside(tmp_path, capsys, share):
    first, second = save(tmp_path, 1, 2)
    content = second.read_bytes()
    second.write_bytes(content[: int(len(content) * share)])
    assert checkpoint_to_continue(tmp_path) == first
    assert f"is now called {second.name}.corrupt" in capsys.readouterr().out
