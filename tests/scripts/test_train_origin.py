"""scripts.train knows which data its checkpoints learned from, whether finished or not."""

import json
import shutil

import pytest

from scripts import train as train_command
from scripts.engine.files import sha256
from scripts.engine.run_folder.checkpoint import load_checkpoint, save_checkpoint
from scripts.engine.run_folder.step_files import newest_checkpoint
from tests.tiny import TINY, know_tiny, tiny_options, train_tiny


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    know_tiny(monkeypatch, {"kl_loss/tiny": TINY})


def folder_of(out):
    return out / "tiny" / "kl_loss" / "tiny" / "seed0"


def command(data, out, *more):
    return train_command.main(["kl_loss/tiny", *tiny_options(data, out), *more])


def moved_box(data, folder):
    """The data set with one of its training boxes 1 px to the right."""
    root = shutil.copytree(data, folder)
    path = root / "annotations" / "instances_train.json"
    document = json.loads(path.read_text())
    document["annotations"][0]["bbox"][0] += 1
    path.write_text(json.dumps(document))
    return root


@pytest.mark.parametrize("stop_after", [2, None])
def test_other_annotations_are_refused_unless_permitted(data, tmp_path, capsys, stop_after):
    out = tmp_path / "out"
    train_tiny(data, out, stop_after=stop_after)
    other = moved_box(data, tmp_path / "data")
    assert command(other, out) == 2
    assert "began with other annotations; bring the data back" in capsys.readouterr().err
    assert command(other, out, "--changed-data", "--stop-after", "1") == 0
    assert "began with other annotations, as --changed-data permits" in capsys.readouterr().out


def test_another_network_to_start_from_is_refused_when_it_goes_on(data, tmp_path, capsys):
    train_tiny(data, tmp_path / "first", stop_after=1)
    first = newest_checkpoint(folder_of(tmp_path / "first"))
    out = tmp_path / "out"
    assert command(data, out, "--from", str(first), "--stop-after", "1") == 0
    other = save_checkpoint(tmp_path / "other", 1, load_checkpoint(first) | {"seconds": 9.0})
    assert command(data, out, "--from", str(other), "--stop-after", "1") == 2
    printed = capsys.readouterr().err
    assert f"began with other starting weights than {other}" in printed
    assert "leave --weights and --from out to go on with what it has learned" in printed
    assert command(data, out, "--stop-after", "1") == 0
    facts = json.loads((folder_of(out) / "data.json").read_text())
    assert facts["weights"] == {"path": str(first), "sha256": sha256(first)}


def test_data_json_has_counts_and_the_hashes_of_the_checkpoint(data, tmp_path):
    train_tiny(data, tmp_path, stop_after=1)
    facts = json.loads((folder_of(tmp_path) / "data.json").read_text())
    state = load_checkpoint(newest_checkpoint(folder_of(tmp_path)))
    assert (facts["images"], facts["used"], facts["weights"]) == (12, 12, None)
    document = json.loads((data / "annotations" / "instances_train.json").read_text())
    assert sum(facts["objects"].values()) == len(document["annotations"])
    assert facts["digests"] == state["origin"]["digests"]
    assert facts["digests"].keys() == {"image ids", "sizes", "annotations"}


def test_a_checkpoint_of_an_earlier_version_goes_on_with_a_note(data, tmp_path, capsys):
    train_tiny(data, tmp_path, stop_after=1)
    state = load_checkpoint(newest_checkpoint(folder_of(tmp_path)))
    for name in ("origin", "results_version"):
        del state[name]
    save_checkpoint(folder_of(tmp_path), 1, state)
    capsys.readouterr()
    assert command(moved_box(data, tmp_path / "data"), tmp_path, "--stop-after", "1") == 0
    assert "note: results version 1 of the code began this training" in capsys.readouterr().out
    assert command(data, tmp_path, "--stop-after", "1") == 2  # now it is known
