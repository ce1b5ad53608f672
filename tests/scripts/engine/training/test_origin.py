"""A training goes on with the data and the weights that it began with, or says what differs."""

from dataclasses import replace
from pathlib import Path

import pytest

from scripts.engine.data_identity import DataFacts
from scripts.engine.training.origin import Origin, continued_origin, new_origin, starting_file
from scripts.engine.training.recipe import TrainOptions
from tests.tiny import TINY

DIGESTS = {"image ids": "i", "sizes": "s", "annotations": "a"}
RUN = replace(TINY, start="imagenet")
WHERE = Path("folder")


def facts(images=3, **changed):
    return DataFacts(images=images, used=2, objects={"cat": 2}, digests=DIGESTS | changed)


def saved(**changed):
    before = {"images": 3, "digests": DIGESTS, "weights": "old.pth", "weights_sha256": "0" * 64}
    return {"step": 4, "origin": before | changed}


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "new.pth"
    path.write_bytes(b"weights")
    return path


def test_the_weights_that_it_began_with_stay_known():
    now = continued_origin(saved(), facts(), RUN, TrainOptions(), WHERE)
    assert now == Origin(images=3, digests=DIGESTS, weights="old.pth", weights_sha256="0" * 64)
    assert "weights" not in now.without_path()


def test_all_that_differs_is_in_one_sentence(weights):
    other = facts(images=4, **{"image ids": "x", "annotations": "y"})
    options = TrainOptions(weights=str(weights))
    with pytest.raises(ValueError, match="began with other") as error:
        continued_origin(saved(), other, RUN, options, WHERE)
    assert str(error.value) == (
        "The training in folder began with other image ids (3 images then, 4 now) and annotations "
        f"and starting weights than {weights} (SHA-256 000000000000, and 9a129038d9a0 now); bring "
        "the data back as they were, or add --changed-data to go on with them as they are, or leave"
        " --weights and --from out to go on with what it has learned, or train anew in another "
        "--out folder."
    )


def test_changed_data_go_on_if_permitted_and_other_weights_never(weights, capsys):
    options = TrainOptions(changed_data=True)
    now = continued_origin(saved(), facts(sizes="x"), RUN, options, WHERE)
    assert now.digests["sizes"] == "x"
    assert "note: folder began with other sizes" in capsys.readouterr().out
    options = replace(options, start_from=weights)
    with pytest.raises(ValueError, match="other starting weights") as error:
        continued_origin(saved(), facts(sizes="x"), RUN, options, WHERE)
    assert "--changed-data to" not in str(error.value)


def test_what_is_not_known_is_accepted(weights, capsys):
    named = TrainOptions(weights=str(weights))
    older = continued_origin({"step": 4}, facts(), RUN, named, WHERE)
    assert (older.digests, older.weights) == (DIGESTS, str(weights))
    assert continued_origin(saved(weights_sha256=None), facts(), RUN, named, WHERE)
    gone = TrainOptions(weights="gone.pth")
    assert continued_origin(saved(), facts(), RUN, gone, WHERE).weights == "old.pth"
    assert "note: gone.pth is not there" in capsys.readouterr().out


def test_converted_weights_are_where_a_training_began(weights):
    begun = continued_origin({"step": 0}, facts(), RUN, TrainOptions(), weights)
    assert begun.weights == str(weights)
    assert begun == new_origin(facts(), RUN, TrainOptions(weights=str(weights)), None)


def test_the_file_of_the_starting_weights(weights):
    named = TrainOptions(weights=str(weights))
    assert starting_file(RUN, named, None) == weights
    assert starting_file(replace(RUN, start="scratch"), named, None) is None
    assert starting_file(RUN, TrainOptions(start_from=WHERE), None) == WHERE
    assert starting_file(RUN, TrainOptions(), None).name.startswith("vgg16")
