"""Milliseconds of two devices never stand side by side: a report leaves those of one out, and so do
its JSON, its means and the page."""

import copy

from scripts.reports.files import ReportPlace
from scripts.reports.one_device import times_of_one_device, timing_devices
from scripts.reports.page.latency import table_part
from scripts.reports.page.sources import committed_files, read_sources


def line(label, time, **more):
    metrics = {"AP": 20.0, "speed_ms": time, "clean": {"AP": 30.0, "speed_ms": time}}
    return {"group": "", "label": label, "run": label, "metrics": metrics, "recipe": "a", **more}


def seed(number, device, *rows):
    return {"seed": number, "device": device, "rows": list(rows)}


def times(seeds):
    """{(seed, row): milliseconds or None}, the same in the part of the clean boxes."""
    found = {}
    for one in seeds:
        for row in one["rows"]:
            metrics = row["metrics"]
            assert (metrics["AP"], metrics["clean"]["AP"]) == (20.0, 30.0)
            assert metrics.get("speed_ms") == metrics["clean"].get("speed_ms")
            found[one["seed"], row["label"]] = metrics.get("speed_ms")
    return found


def test_one_device_changes_nothing_and_says_nothing():
    for seeds in ([], [seed(0, "CPU", line("a", 1.0)), seed(1, "CPU", line("a", 2.0))]):
        assert times_of_one_device(seeds) == (seeds, [])
    untimed = seed(
        1, "GPU", {"label": "a", "metrics": {"AP": 1.0}}, {"label": "b", "metrics": None}
    )
    seeds = [seed(0, "CPU", line("a", 1.0)), untimed, {"seed": 2, "device": "GPU"}]
    assert times_of_one_device(seeds) == (seeds, [])


def test_the_device_of_most_times_is_kept():
    seeds = [
        seed(0, "CPU", line("a", 30.0), line("b", 33.0)),
        seed(1, "GPU", line("a", 5.0), line("b", 6.0)),
        seed(2, "CPU", line("a", 34.0), line("b", 35.0)),
    ]
    before = copy.deepcopy(seeds)
    shown, notes = times_of_one_device(seeds)
    assert times(shown) == {
        (0, "a"): 30.0, (1, "a"): None, (2, "a"): 34.0,
        (0, "b"): 33.0, (1, "b"): None, (2, "b"): 35.0,
    }  # fmt: skip
    assert notes == [
        "note: the milliseconds of 2 rows are left out, because they were measured on GPU and most "
        "others on CPU; measure all rows on one device"
    ]
    assert seeds == before
    assert times_of_one_device(shown) == (shown, [])


def test_of_as_many_the_first_device_is_kept_and_a_row_may_have_its_own():
    seeds = [seed(0, "GPU", line("a", 5.0), line("b", 33.0, device="CPU"))]
    shown, _ = times_of_one_device(seeds)
    assert times(shown) == {(0, "a"): 5.0, (0, "b"): None}


def test_a_report_has_them_of_one_device(tmp_path, capsys):
    place = ReportPlace(table="kl_rpn/table1", scale="mini", out=tmp_path)
    seeds = [seed(0, "CPU", line("a", 30.0), line("b", 33.0)), seed(1, "GPU", line("a", 5.0))]
    assert times(place.with_committed(seeds)) == {(0, "a"): 30.0, (0, "b"): 33.0, (1, "a"): None}
    assert "measured on GPU" in capsys.readouterr().out


def test_the_devices_of_times_are_those_of_the_rows_that_have_some():
    """Not those of a seed whose rows were timed elsewhere or not at all."""
    untimed = {"group": "", "label": "c", "metrics": {"AP": 1.0}}
    seeds = [seed(0, "B", line("a", 1.0, device="A"), untimed), seed(1, "C")]
    assert timing_devices(seeds) == ["A"]


def test_the_page_names_the_device_that_measured_its_times():
    """The rows of lite were scored on one device and timed on another."""
    (picture, _) = table_part(read_sources(committed_files()), "kl_rpn/table1", "lite").pictures
    assert picture.caption.startswith("Measured here on CPU, 2 threads; ")
