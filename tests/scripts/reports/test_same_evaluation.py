"""Seeds that were measured on other data, or in another way, stand in no report together."""

import pytest

from scripts.reports.same_evaluation import check_same_data, check_same_evaluation


def seed(number, data=None, recipe=None, metrics=1.0):
    line = {"group": "", "label": "A", "metrics": metrics and {"AP": metrics}}
    line |= {} if data is None else {"test_data": data}
    line |= {} if recipe is None else {"recipe": recipe}
    return {"seed": number, "scale": "mini", "rows": [line]}


def test_other_data_are_refused_with_both_seeds():
    seeds = [seed(0, {"coco val": "a"}), seed(1), seed(2, {"coco val": "b"})]
    with pytest.raises(ValueError, match="seed 2 of mini was measured on other test data") as error:
        check_same_evaluation(seeds, "runs/table")
    assert str(error.value) == (
        "runs/table: seed 2 of mini was measured on other test data: coco val, and seed 0 of mini "
        "before it; evaluate all seeds again, or delete the files that are out of date."
    )


def test_other_settings_of_one_row_are_refused():
    seeds = [seed(0, recipe="a"), seed(1, recipe="b")]
    with pytest.raises(ValueError, match="measured with other settings: A, and seed 0"):
        check_same_evaluation(seeds, "runs/table")
    check_same_data(seeds, "lengths of a run have settings of their own")


def test_what_is_not_known_or_has_no_numbers_is_accepted():
    check_same_evaluation(
        [
            seed(0, {"coco val": "a"}, "a"),
            seed(1),
            seed(2, {"coco val": "b"}, "b", metrics=None),
            seed(3, {"voc test": "c"}, "a"),
            {"seed": 4, "scale": "mini"},
        ],
        "runs/table",
    )


def test_networks_of_one_row_that_were_trained_in_different_ways_are_refused():
    def trained(number, **settings):
        made = seed(number)
        made["rows"][0]["training"] = {"settings": settings}
        return made

    first = trained(0, batch_size=16, precision="float32", weights_sha256="a")
    check_same_evaluation([first, seed(1), trained(2, precision="float32"), first], "table 1")
    for changed in ({"batch_size": 8}, {"precision": "torch.bfloat16"}, {"weights_sha256": "b"}):
        with pytest.raises(
            ValueError, match=f"trained with another {next(iter(changed))} in seed 1 than in seed 0"
        ):
            check_same_evaluation([first, trained(1, **changed)], "table 1")
