"""A region proposal network, its saved proposals, and the Fast R-CNN that is trained and evaluated
with them.
"""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from data.build import build_dataset
from data.errors import DataError
from data.formats.saved_proposals import load_proposals
from data.loader import test_batches
from experiments.records import Row, Table
from postprocess.pipeline import PostprocessConfig
from scripts import save_proposals
from scripts import train as train_module
from scripts.engine.evaluation import cost
from scripts.engine.evaluation.evaluation import evaluate_table
from scripts.engine.places import RunPlace
from scripts.engine.run_folder.checkpoint import load_checkpoint, newest_checkpoint, save_checkpoint
from scripts.engine.tensorboard import shown_images
from scripts.engine.tensorboard.budget import Budget
from scripts.engine.trained import proposals
from scripts.engine.trained.proposals import ensure_proposals, save_run_proposals
from scripts.engine.trained.trained import TrainedRun, trained_detector
from tests.networks import change
from tests.tiny import (
    TINY,
    environment,
    know_tiny,
    tiny_options,
)
from tests.tiny import train_tiny as train

TINY_RPN = replace(TINY, name="tiny_rpn", model=change(TINY.model, roi_head="none"))
TINY_FAST = replace(
    TINY, name="tiny_fast", model=change(TINY.model, rpn_kind="saved"), proposals="tiny_rpn"
)
NMS = PostprocessConfig(iou_threshold=0.3, score_threshold=0.0)
TABLE = Table(
    title="A tiny table",
    metric="coco",
    columns=("AP", "speed_ms"),
    rows=(
        Row(label="Fast", run=TINY_FAST, postprocess=NMS),
        Row(label="RPN", run=TINY, postprocess=NMS),
    ),
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    runs = {f"kl_loss/{run.name}": run for run in (TINY, TINY_RPN, TINY_FAST)}
    know_tiny(monkeypatch, runs)
    monkeypatch.setattr(cost, "REPEATS", 1)
    return runs


@pytest.fixture
def passes(monkeypatch):
    """How often a network was asked for proposals of a data set."""
    names, real = [], proposals.trained_detector

    def counted(trained, device):
        names.append(trained.run.name)
        return real(trained, device)

    monkeypatch.setattr(proposals, "trained_detector", counted)
    return names


def folder_of(out, run=TINY_RPN, seed=0):
    return out / "tiny" / "kl_loss" / run.name / f"seed{seed}"


def place_of(out, run=TINY_RPN, seed=0):
    return RunPlace(out=out, scale="tiny", paper="kl_loss", run=run.name, seed=seed)


def save(data, out, run, **changed):
    save_run_proposals(run, environment(data, out, **changed), 0)


def evaluate(data, out, **changed):
    known = environment(data, out, **changed)
    evaluate_table(TABLE, known.table_place("kl_loss/tiny"), known, 1)


def train_all(data, out, *runs, **how):
    for run in runs:
        assert train(data, out, run=f"kl_loss/{run.name}", **how) == 0


def shown_in_tensorboard(out, run):
    """The tags of the pictures in TensorBoard."""
    events = EventAccumulator(str(folder_of(out, run) / "tensorboard"))
    events.Reload()
    return [tag for tag in events.Tags()["tensors"] if tag.startswith("images/")]


def test_a_fast_rcnn_in_training_is_looked_at_with_proposals_of_the_shown_images(
    data, tmp_path, monkeypatch
):
    monkeypatch.setattr(Budget, "allows", True)
    train_all(data, tmp_path, TINY_RPN, TINY_FAST)
    assert len(shown_in_tensorboard(tmp_path, TINY_FAST)) == 3  # all test images
    assert not (folder_of(tmp_path) / "proposals-test.npz").exists()


def test_a_fast_rcnn_is_validated_with_the_proposals_that_it_is_tested_with(data, tmp_path):
    train_all(data, tmp_path, TINY_RPN)
    train_all(data, tmp_path, TINY_FAST, validate_every=TINY.train.iterations)
    lines = (folder_of(tmp_path, TINY_FAST) / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["updates"] for line in lines] == [TINY.train.iterations]
    evaluate(data, tmp_path)  # finds the file that the validation has written
    assert json.loads(lines[0])["AP"] is not None


def test_a_region_proposal_network_alone_cannot_be_validated(data, tmp_path):
    with pytest.raises(ValueError, match="--validate-every: kl_loss/tiny_rpn is a region prop"):
        train(data, tmp_path, run="kl_loss/tiny_rpn", validate_every=3)
    assert not folder_of(tmp_path).exists()


def test_proposals_of_other_images_are_refused_before_the_first_update(data, tmp_path):
    train_all(data, tmp_path, TINY_RPN)
    save(data, tmp_path, run="kl_loss/tiny_rpn")
    file = folder_of(tmp_path) / "proposals-train.npz"
    with pytest.raises(DataError, match="none of the 3 images"):
        train(data, tmp_path, run="kl_loss/tiny_fast", validate_every=3, proposals=f"{file}:{file}")
    assert not list(folder_of(tmp_path, TINY_FAST).glob("*.pt"))


def test_a_finished_training_computes_no_proposals_for_its_validation(data, tmp_path):
    train_all(data, tmp_path, TINY_RPN, TINY_FAST)
    train_all(data, tmp_path, TINY_FAST, validate_every=3)
    assert not (folder_of(tmp_path) / "proposals-test.npz").exists()


def test_a_network_that_does_not_fit_beside_the_training_ends_the_pictures_alone(
    data, tmp_path, monkeypatch, capsys
):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Budget, "allows", True)
    monkeypatch.setattr(shown_images, "trained_detector", full)
    train_all(data, tmp_path, TINY_RPN, TINY_FAST)
    assert "does not fit into cpu" in capsys.readouterr().out
    assert shown_in_tensorboard(tmp_path, TINY_FAST) == []


def test_given_proposals_for_the_training_alone_leave_nothing_to_look_at(
    data, tmp_path, monkeypatch
):
    monkeypatch.setattr(Budget, "allows", True)
    train_all(data, tmp_path, TINY_RPN)
    save(data, tmp_path, run="kl_loss/tiny_rpn")
    files = [folder_of(tmp_path) / f"proposals-{part}.npz" for part in ("train", "test")]
    opened = []
    chosen = shown_images.chosen_images
    monkeypatch.setattr(
        shown_images, "chosen_images", lambda dataset: opened.append(1) or chosen(dataset)
    )
    given = {"alone": f"{files[0]}:", "both": f"{files[0]}:{files[1]}"}
    pictures = {}
    for name, option in given.items():
        (tmp_path / name).mkdir()
        train_all(data, tmp_path / name, TINY_FAST, proposals=option)
        pictures[name] = len(shown_in_tensorboard(tmp_path / name, TINY_FAST))
    assert pictures == {"alone": 0, "both": 3}
    assert len(opened) == 2  # once in each training


def test_both_files_hold_what_the_network_proposes(data, tmp_path, passes, capsys):
    train_all(data, tmp_path, TINY_RPN)
    save(data, tmp_path, run="kl_loss/tiny_rpn")
    state = load_checkpoint(newest_checkpoint(folder_of(tmp_path)))
    trained = TrainedRun(
        run=TINY_RPN, checkpoint=newest_checkpoint(folder_of(tmp_path)), state=state
    )
    detector = trained_detector(trained, torch.device("cpu"))
    for part, split, images, most in (("train", "train", 12, 30), ("test", "val", 3, 20)):
        found = load_proposals(folder_of(tmp_path) / f"proposals-{part}.npz")
        dataset = build_dataset(TINY.data, data, split)
        assert found.image_ids == dataset.image_ids
        assert len(found) == images
        counts = np.diff(found.starts)
        assert 0 < counts.max() <= most  # post_nms_train, post_nms_test
        for batch in test_batches(dataset, TINY.data, batch_size=4, workers=0):
            for i, expected in zip(batch.indices, detector.proposals(batch, most), strict=True):
                rows = slice(found.starts[i], found.starts[i + 1])
                torch.testing.assert_close(torch.from_numpy(found.boxes[rows]), expected.boxes)
                torch.testing.assert_close(
                    torch.from_numpy(found.scores[rows]), expected.objectness
                )
    assert passes == ["tiny_rpn"] * 2
    capsys.readouterr()
    save(data, tmp_path, run="kl_loss/tiny_rpn")
    assert passes == ["tiny_rpn"] * 2
    printed = capsys.readouterr().out
    assert printed.count("computed before") == 2
    assert "proposals-train.npz" in printed


def test_another_checkpoint_or_a_damaged_file_is_another_pass(data, tmp_path, passes):
    train_all(data, tmp_path, TINY_RPN)
    how = {"run": "kl_loss/tiny_rpn"}
    save(data, tmp_path, **how)
    stored = folder_of(tmp_path) / "proposals-test.npz"
    stored.write_bytes(stored.read_bytes()[:500])
    save(data, tmp_path, **how)
    assert len(passes) == 3
    note = newest_checkpoint(folder_of(tmp_path)).with_suffix(".json")
    checkpoint = note.with_suffix(".pt")
    state = load_checkpoint(checkpoint)
    checkpoint.unlink()
    save_checkpoint(folder_of(tmp_path), 6, {**state, "seconds": state["seconds"] + 1})
    save(data, tmp_path, **how)
    assert len(passes) == 5


@pytest.mark.parametrize("noted", [True, False])
def test_a_flipped_byte_is_another_pass_and_no_dead_end(data, tmp_path, passes, capsys, noted):
    train_all(data, tmp_path, TINY_RPN)
    save(data, tmp_path, run="kl_loss/tiny_rpn")
    stored = folder_of(tmp_path) / "proposals-train.npz"
    if not noted:
        stored.with_suffix(".json").unlink()
    whole = stored.read_bytes()
    place = whole.index(b"boxes.npy") + 400
    stored.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    capsys.readouterr()
    save(data, tmp_path, run="kl_loss/tiny_rpn")
    printed = capsys.readouterr().out
    assert f"warning: {stored} is damaged and is computed again" in printed
    assert printed.count("computed before") == 1
    assert len(passes) == 3
    assert np.load(stored)["boxes"].shape[1] == 4


def test_fast_rcnn_from_training_to_numbers(data, tmp_path, passes, capsys):
    """Proposals are computed when they are first needed, and costs and candidates share them; those
    of another network than in training are named.
    """
    train_all(data, tmp_path, TINY_RPN, TINY_FAST, TINY)
    assert passes == ["tiny_rpn"]
    assert not (folder_of(tmp_path) / "proposals-test.npz").exists()
    state = load_checkpoint(newest_checkpoint(folder_of(tmp_path, TINY_FAST)))
    assert not any(name.startswith("rpn") for name in state["model"])
    evaluate(data, tmp_path)
    rows = json.loads((tmp_path / "tiny" / "kl_loss" / "tiny" / "seed0.json").read_text())["rows"]
    assert all(row["metrics"]["AP"] is not None and row["metrics"]["speed_ms"] > 0 for row in rows)
    assert passes == ["tiny_rpn"] * 2
    evaluate(data, tmp_path)
    assert passes == ["tiny_rpn"] * 2
    assert "learned from the proposals of another network" not in capsys.readouterr().out
    folder = folder_of(tmp_path)
    retrained = load_checkpoint(newest_checkpoint(folder)) | {"seconds": 0.5}
    save_checkpoint(folder, 7, retrained)
    evaluate(data, tmp_path)
    assert passes == ["tiny_rpn"] * 3
    assert "learned from the proposals of another network than the tiny_rpn that is there now" in (
        capsys.readouterr().out
    )


def test_each_seed_has_the_proposals_of_its_seed(data, tmp_path):
    train_all(data, tmp_path, TINY_RPN, seed=1)
    train_all(data, tmp_path, TINY_FAST, seed=1, stop_after=1)
    assert (folder_of(tmp_path, seed=1) / "proposals-train.npz").is_file()
    with pytest.raises(ValueError, match=r"no trained network in .*seed0"):
        train_all(data, tmp_path, TINY_FAST, seed=0)


def test_a_run_with_its_own_network_needs_none(data, tmp_path):
    dataset = build_dataset(TINY.data, data, "val")
    assert (
        ensure_proposals(
            TINY, place_of(tmp_path, TINY), environment(data, tmp_path), dataset, "test"
        )
        is None
    )
    given = environment(data, tmp_path, proposals="a.pkl:b.pkl")
    # other rows may need it
    assert ensure_proposals(TINY, place_of(tmp_path, TINY), given, dataset, "test") is None
    with pytest.raises(ValueError, match="tiny has a region proposal network of its own"):
        train(data, tmp_path, run="kl_loss/tiny", proposals="a.pkl:b.pkl")


def test_an_untrained_network_is_named_with_its_command(data, tmp_path, capsys):
    with pytest.raises(
        ValueError,
        match=r"There is no trained network in .*/tiny/kl_loss/tiny_rpn/seed0 "
        r"to take proposals from; "
        r"train it first: python -m scripts\.train kl_loss/tiny_rpn --scale tiny "
        r"--seed 0 --data-root "
        rf"{data} --out {tmp_path}$",
    ):
        train(data, tmp_path, run="kl_loss/tiny_fast")
    train_all(data, tmp_path, TINY_RPN, stop_after=1)  # not finished
    with pytest.raises(ValueError, match="no trained network"):
        train(data, tmp_path, run="kl_loss/tiny_fast")
    save(data, tmp_path, run="kl_loss/tiny_rpn", unfinished=True)
    with pytest.raises(
        ValueError,
        match="kl_loss/tiny_fast has no region proposal network: it uses those of tiny_rpn",
    ):
        save(data, tmp_path, run="kl_loss/tiny_fast")


def detectron(folder, data, split, *, shift=0.0):
    """The labels of a split as proposals, and the whole image, in Detectron's format."""
    dataset = build_dataset(TINY.data, data, split)
    boxes = [
        np.concatenate(
            [dataset.target(i).boxes.numpy() + shift, [[0, 0, size[1], size[0]]]]
        ).astype(np.float32)
        - [0, 0, 1, 1]
        for i, size in enumerate(dataset.sizes)
    ]
    path = folder / f"{split}{shift}.pkl"
    path.write_bytes(
        pickle.dumps(
            {
                "ids": list(dataset.image_ids),
                "boxes": boxes,
                "cfg": "",
                "scores": [np.linspace(1, 0, len(part)) for part in boxes],
            },
            protocol=2,
        )
    )
    return path


def test_files_of_others_replace_the_run(data, tmp_path, passes):
    """No trained region proposal network is needed; candidates are those of the file that is
    named.
    """
    train_file, val_file, shifted = (
        detectron(tmp_path, data, "train"),
        detectron(tmp_path, data, "val"),
        detectron(tmp_path, data, "val", shift=5.0),
    )
    train_all(data, tmp_path / "runs", TINY_FAST, proposals=f"{train_file}:")
    found = {}
    for name in (val_file, shifted):
        evaluate(data, tmp_path / "runs", proposals=f":{name}")
        key = torch.load(
            folder_of(tmp_path / "runs", TINY_FAST) / "candidates.pt", weights_only=True
        )
        found[name] = key["key"]["proposals"], key["boxes"]
    assert found[val_file][0] != found[shifted][0]
    assert not torch.equal(found[val_file][1], found[shifted][1])
    assert passes == []


def test_a_training_is_continued_with_the_same_proposals_only(data, tmp_path):
    first = detectron(tmp_path, data, "train")
    other = detectron(tmp_path, data, "train", shift=3.0)
    train_all(data, tmp_path / "runs", TINY_FAST, proposals=f"{first}:", stop_after=2)
    with pytest.raises(ValueError, match="learned from other proposals; go on with the same ones"):
        train_all(data, tmp_path / "runs", TINY_FAST, proposals=f"{other}:", stop_after=2)
    train_all(data, tmp_path / "runs", TINY_FAST, proposals=f"{first}:")


def test_several_files_of_one_part(data, tmp_path):
    train_file, val_file = detectron(tmp_path, data, "train"), detectron(tmp_path, data, "val")
    dataset = build_dataset(TINY.data, data, "train")
    how = {"proposals": f"{train_file}+{val_file}:x"}
    found = ensure_proposals(
        TINY_FAST,
        place_of(tmp_path, TINY_FAST),
        environment(data, tmp_path, **how),
        dataset,
        "train",
    )
    assert len(found) == 12 + 3


def command(data, out, *more, run="kl_loss/tiny_fast", script=train_module):
    return script.main([run, *tiny_options(data, out), *more])


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("x.pkl", "--proposals 'x.pkl' names no file"),
        (":x.pkl", "names no file for training; give TRAIN_FILE:TEST_FILE"),
        ("no/such.pkl:x", "The proposals no/such.pkl do not exist"),
        ("VAL:x", "of none of the 12 images of this data set"),
    ],
)
def test_the_users_mistakes_are_one_sentence(data, tmp_path, capsys, option, sentence):
    if option.startswith("VAL"):
        name = detectron(tmp_path, data, "val")
        content = pickle.loads(name.read_bytes())
        name.write_bytes(pickle.dumps(content | {"ids": [f"x{i}" for i in content["ids"]]}))
        option = f"{name}:x"
    assert command(data, tmp_path / "runs", "--proposals", option) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert sentence in printed


def test_the_script_itself(data, tmp_path, capsys):
    assert command(data, tmp_path, run="kl_loss/tiny_rpn", script=save_proposals) == 2
    assert "train it first" in capsys.readouterr().err
    train_all(data, tmp_path, TINY_RPN)
    assert command(data, tmp_path, run="kl_loss/tiny_rpn", script=save_proposals) == 0
