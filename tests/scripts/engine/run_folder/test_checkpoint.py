"""A checkpoint is whole or it is not used, holds no code, and says which field of a run differs."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from scripts.engine import files
from scripts.engine.files import save_tensors
from scripts.engine.run_folder.checkpoint import (
    FORMAT,
    check_format_in,
    check_same_run,
    differences,
    load_checkpoint,
    newest_checkpoint,
    plain,
    save_checkpoint,
)
from scripts.engine.run_folder.step_files import KEPT
from tests.networks import change
from tests.tiny import TINY


def state(step, **more):
    return {
        "model": {"weight": torch.full((50,), float(step))},
        "step": step,
        "run": plain(asdict(TINY)),
        **more,
    }


def three(folder):
    return [save_checkpoint(folder, step, state(step)) for step in (1, 2, 3)]


def test_what_is_saved_comes_back_and_the_newest_stay(tmp_path):
    paths = three(tmp_path)
    assert newest_checkpoint(tmp_path) == paths[-1]
    found = load_checkpoint(paths[-1])
    assert found["step"] == 3
    assert torch.equal(found["model"]["weight"], torch.full((50,), 3.0))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        name for path in paths[-KEPT:] for name in (path.name, path.with_suffix(".json").name)
    )


def test_what_was_just_saved_stays_when_later_ones_are_damaged(tmp_path):
    for path in three(tmp_path)[1:]:
        truncate(path)
    first = save_checkpoint(tmp_path, 1, state(1))
    assert newest_checkpoint(tmp_path) == first


def test_nothing_to_find(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path / "none") is None
    with pytest.raises(ValueError, match=r"The checkpoint .* does not exist; train first"):
        load_checkpoint(tmp_path / "none.pt")


def truncate(path):
    path.write_bytes(path.read_bytes()[:500])


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose_the_note(path):
    path.with_suffix(".json").unlink()


@pytest.mark.fault("R06")
@pytest.mark.parametrize("damage", [truncate, flip_a_byte])
@pytest.mark.parametrize("noted", [True, False])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, capsys, damage, noted):
    paths = three(tmp_path)
    damage(paths[-1])
    if not noted:
        lose_the_note(paths[-1])
    assert newest_checkpoint(tmp_path) == paths[-2]
    assert f"{paths[-1]} is incomplete or damaged and is passed over" in capsys.readouterr().out


@pytest.mark.parametrize("damage", [truncate, flip_a_byte])
def test_a_damaged_checkpoint_asked_for_by_name_is_a_sentence(tmp_path, damage):
    path = three(tmp_path)[-1]
    damage(path)
    with pytest.raises(ValueError, match="is damaged: its SHA-256 is not the one in"):
        load_checkpoint(path)
    lose_the_note(path)
    how = "cannot be read" if damage is truncate else "does not have the checksums that are in it"
    with pytest.raises(ValueError, match=how):
        load_checkpoint(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.pt").write_text("# no checkpoint")
    with pytest.raises(ValueError, match=r"text.pt cannot be read \(it holds other things than"):
        load_checkpoint(tmp_path / "text.pt")
    save_tensors(tmp_path / "weights.pt", {"weight": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"is not a checkpoint of scripts\.train: it lacks"):
        load_checkpoint(tmp_path / "weights.pt")


class Code:
    def __reduce__(self):
        return print, ("this ran",)


def test_a_pickle_that_runs_code_is_refused(tmp_path, capsys):
    torch.save(state(1, extra=Code()), tmp_path / "evil.pt")
    with pytest.raises(ValueError, match="cannot be read"):
        load_checkpoint(tmp_path / "evil.pt")
    assert "this ran" not in capsys.readouterr().out


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = save_checkpoint(tmp_path, 1, state(1))

    def disk_full(content, file):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(files.torch, "save", disk_full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, 2, state(2))
    assert newest_checkpoint(tmp_path) == path
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "step-00000001.json",
        "step-00000001.pt",
    ]


class Broken:
    def __reduce__(self):
        raise TypeError("cannot be saved")


@pytest.mark.fault("R02")
def test_what_cannot_be_saved_leaves_what_was_there(tmp_path):
    path = save_checkpoint(tmp_path, 1, state(1))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(TypeError, match="cannot be saved"):
        save_checkpoint(tmp_path, 2, state(2, extra=Broken()))
    assert sorted(tmp_path.iterdir()) == before
    assert newest_checkpoint(tmp_path) == path


def test_another_run_names_the_fields():
    saved = plain(asdict(TINY))
    check_same_run(saved, TINY, "x.pt")
    other = replace(
        TINY, train=replace(TINY.train, lr=0.5), model=change(TINY.model, rpn_anchor_sizes=(8.0,))
    )
    with pytest.raises(
        ValueError,
        match=r"model\.rpn\.anchor_sizes: \[16\.0, 32\.0\] -> \[8\.0\]; train\.lr: 0\.001 -> 0\.5",
    ):
        check_same_run(saved, other, "x.pt")
    # written before the field existed: it did what the default does
    del saved["model"]["roi"]["dropout"]
    with pytest.raises(ValueError, match=r"model\.roi\.dropout: 0\.0 -> 0\.5"):
        check_same_run(saved, TINY, "x.pt")
    check_same_run(saved, replace(TINY, model=change(TINY.model, roi_dropout=0.0)), "x.pt")
    saved["model"]["color"] = "red"  # a field that this version does not know
    with pytest.raises(ValueError, match=r"model\.color: red -> None"):
        check_same_run(saved, replace(TINY, model=change(TINY.model, roi_dropout=0.0)), "x.pt")


def test_differences_are_found_at_any_depth():
    assert differences({"a": {"b": [1, 2]}, "c": 1}, {"a": {"b": [1, 3]}, "c": 1}) == [
        "a.b: [1, 2] -> [1, 3]"
    ]
    assert differences(plain({"a": (1, 2)}), json.loads('{"a": [1, 2]}')) == []


def with_format(path, number):
    """The checkpoint as a version of the code with another format would have written it."""
    content = torch.load(path, weights_only=True)
    del content["format"]
    content |= {} if number is None else {"format": number}
    digest = save_tensors(path, content)
    note = {"step": content["step"], "sha256": digest} | (
        {} if number is None else {"format": number}
    )
    path.with_suffix(".json").write_text(json.dumps(note))


def test_a_checkpoint_has_a_format(tmp_path):
    path = save_checkpoint(tmp_path, 1, state(1))
    assert load_checkpoint(path)["format"] == FORMAT == 2
    assert json.loads(path.with_suffix(".json").read_text())["format"] == FORMAT
    check_format_in(tmp_path)
    check_format_in(tmp_path / "empty")


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (
            None,
            r"has format 1 and this code reads format 2: "
            r"it was written by an earlier version of this code",
        ),
        (
            1,
            r"has format 1 and this code reads format 2: "
            r"it was written by an earlier version of this code",
        ),
        (
            3,
            r"has format 3 and this code reads format 2: "
            r"it was written by a later version of this code",
        ),
    ],
)
def test_another_format_is_a_sentence_that_says_what_to_do(tmp_path, number, sentence):
    path = save_checkpoint(tmp_path, 1, state(1))
    with_format(path, number)
    assert newest_checkpoint(tmp_path) == path  # it is whole
    for check in (lambda: load_checkpoint(path), lambda: check_format_in(tmp_path)):
        with pytest.raises(ValueError, match=sentence) as error:
            check()
        assert "whose network had other parts; train again" in str(error.value)
        assert "git commit 87e4cc2 for format 1" in str(error.value)
