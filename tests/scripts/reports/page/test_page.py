"""The page: every number in it is that of the JSON file that it names, its tags are balanced, and
damaged or missing results are sentences.
"""

import importlib
import json
import re
import statistics
from functools import cache
from itertools import pairwise

import pytest

from scripts.engine.places import EXPERIMENTS
from scripts.reports.page import (
    figures,
    latency,
    learning,
    length,
    overlap,
    page,
    plots,
    ran,
    rendered,
    sigma,
    verdicts,
)
from scripts.reports.page.sources import ROOT, Source, Sources, committed_files, read_sources
from scripts.reports.page.views import PictureView
from scripts.reports.results import cell
from tests.page_reader import Reader

NUMBER = re.compile(r"[+-]?\d[\d,]*(\.\d+)?( ± \d+(\.\d+)?)?( %)?")
SHOWN = PictureView(uri="data:,", alt="a plot", caption="a plot")


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    """Plots take seconds; tables do not need them."""
    for module in (figures, latency, learning, length, overlap, sigma):
        for name in ("line_plot", "dot_plot", "bar_plot"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, lambda *_, **__: SHOWN)


@cache
def committed():
    return page.html(page.page_of(read_sources(committed_files())))


@cache
def read():
    return Reader(committed())


@cache
def content(path):
    return json.loads((ROOT / path).read_text())


@cache
def rows_of(path):
    """{row: {column: number}} of a table's declaration."""
    table = importlib.import_module(path.removesuffix(".py").replace("/", ".")).TABLE
    return {row.name: dict(zip(table.columns, row.printed, strict=False)) for row in table.rows}


@cache
def values(reference):
    """What a reference names: one value a seed, or one number of the paper."""
    path, _, key = reference.partition("#")
    kind, name, rest = re.fullmatch(r"(\w+)\[(.*)\]/(.*)", key).groups()
    steps = rest.split("/")
    if path.endswith("rows.py"):
        return rows_of(path)[name][steps[1]]
    if kind == "operations":
        found = content(path)["operations"]
        return [at(next(one for one in found if one["operation"] == name), steps)]
    if kind == "recall":
        return [seed["recall"][name][steps[0]] for seed in content(path)]
    lines = [{label(line): line for line in seed["rows"]}.get(name, {}) for seed in content(path)]
    return [at(line, steps) for line in lines]


def label(line):
    return f"{line['group']}: {line['label']}" if line.get("group") else line["label"]


def at(value, steps):
    for step in steps:
        value = (value or {}).get(step)
    return value


def computed(formula):
    """One value a seed of a formula of references, without those that lack a part."""
    parts = {name: values(name) for name in re.findall(r"\{([^{}]+)\}", formula)}
    lists = [part for part in parts.values() if isinstance(part, list)]
    found = []
    for seed in range(max(map(len, lists), default=1)):
        known = {n: part[seed] if isinstance(part, list) else part for n, part in parts.items()}
        if all(value is not None for value in known.values()):
            text = re.sub(r"\{([^{}]+)\}", lambda m, known=known: f"({known[m[1]]!r})", formula)
            assert re.fullmatch(r"[-+*/(). e\d]+", text), text
            found.append(eval(text))
    return found


def is_rounded(text, value):
    """Whether a text is a number rounded to the digits that it has."""
    digits = len(text.partition(".")[2])
    return abs(float(text) - value) <= 0.5 * 10**-digits + 1e-9


def test_every_number_is_the_one_of_its_file():
    reader = read()
    assert len(reader.numbers) > 3000
    different = {(*given.items(), text): (given, text) for given, text in reader.numbers}
    for given, text in different.values():
        found = computed(given["data-source"])
        assert float(given["value"]) == pytest.approx(statistics.mean(found), abs=1e-9), given
        printed = re.match(r"([+-]?\d+(?:\.\d+)?)(?: ± (\d+(?:\.\d+)?))?", text)
        assert is_rounded(printed[1], float(given["value"])), (given, text)
        if "data-spread" in given:
            assert float(given["data-spread"]) == pytest.approx(statistics.stdev(found), abs=1e-9)
        if printed[2]:
            assert is_rounded(printed[2], float(given["data-spread"])), (given, text)
        if given["data-seeds"] != "0":  # a number of ours
            assert int(given["data-seeds"]) == len(found)


def test_no_number_stands_in_a_table_without_its_source():
    for row in read().rows:
        seeds = {given["data-seeds"] for _, numbers in row for given in numbers}
        for text, numbers in row:
            assert text.strip()
            if NUMBER.fullmatch(text.strip()) and not numbers:
                assert text in seeds


def test_a_number_that_was_changed_is_noticed():
    with pytest.raises(AssertionError):
        assert is_rounded("55.4", 55.3)
    reference = "experiments/kl_loss/table1/results/mini.json#rows[baseline]/metrics/clean/AP"
    assert statistics.mean(computed(f"{{{reference}}}")) == pytest.approx(55.3, abs=0.05)


def test_the_page_is_whole_and_needs_nothing_else():
    reader = read()
    assert len(set(reader.ids)) == len(reader.ids)
    assert {link.removeprefix("#") for link in reader.links} <= set(reader.ids)
    assert all(link.startswith("#") for link in reader.links)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in reader.tags}
    images = [given for tag, given in reader.tags if tag == "img"]
    assert images
    assert all(given["src"].startswith("data:") and given["alt"] for given in images)
    assert "://" not in re.sub(r"data:[^\"]*", "", committed())
    levels = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch(r"h\d", tag)]
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_every_claim_table_and_result_is_there():
    text = committed()
    anchors = set(read().ids)
    assert {f"claim-{number}" for number in range(1, 15)} <= anchors
    for path in committed_files():
        assert path.relative_to(ROOT).as_posix() in text
    assert "make reproduce-table1 PAPERS=kl_loss SCALE=mini SEEDS=3" in text
    assert "Of 14 claims" in text


def test_without_any_result_the_page_says_so():
    text = page.html(page.page_of(Sources()))
    assert not Reader(text).numbers
    assert "Not run at mini or lite or paper" in text
    assert "nothing was measured" in text


def copied(folder, name, change=lambda text: text):
    """A committed file of results as a run would leave it below ``folder``."""
    paper, table, scale = name.split("/")
    path = folder / scale / paper / table / "report" / f"{scale}.json"
    path.parent.mkdir(parents=True)
    path.write_text(change((EXPERIMENTS / paper / table / "results" / f"{scale}.json").read_text()))
    return path


def test_damaged_files_are_sentences_and_the_others_are_shown(tmp_path):
    cut = copied(tmp_path, "kl_loss/table1/mini", lambda text: text[:1000])
    words = copied(tmp_path, "kl_loss/table3/mini", lambda text: re.sub(r"\d+\.\d+", '"x"', text))
    good = copied(tmp_path, "kl_rpn/table2/lite")
    sources = read_sources([cut, words, good])
    text = page.html(page.page_of(sources))
    Reader(text)
    assert list(sources.tables) == [("kl_rpn/table2", "lite")]
    for path in (cut, words):
        assert sum(str(path) in sentence for sentence in sources.damaged) == 1
        assert f"The file {path} " in text
    assert 'id="kl_rpn-table2-lite"' in text


def test_a_row_that_was_not_run_and_a_number_that_was_not_measured(tmp_path):
    def change(text):
        seeds = json.loads(text)
        for seed in seeds:
            seed["rows"][0] |= {"metrics": None, "why": "no network"}
            del seed["rows"][1]["metrics"]["mAP90"]
        return json.dumps(seeds)

    path = copied(tmp_path, "kl_rpn/table2/lite", change)
    text = page.html(page.page_of(read_sources([path])))
    rows = [[cell for cell, _ in row] for row in Reader(text).rows]
    assert ["not run"] in [row[1:] for row in rows if row[:1] == ["ours"]]
    assert any("not measured" in row for row in rows)
    assert "no network" in text


def test_a_section_that_cannot_be_made_leaves_the_others(monkeypatch):
    def broken(_sources):
        raise ValueError("two lengths were measured on other data")

    monkeypatch.setitem(page.BUILDS, "Length of training", page.one(broken))
    text = page.html(page.page_of(Sources()))
    assert "This cannot be shown: two lengths were measured on other data" in text
    assert 'id="ran"' in text


def test_runs_take_the_place_of_committed_results(tmp_path, monkeypatch):
    def change(text):
        seeds = json.loads(text)
        for seed in seeds:
            seed["rows"][1]["metrics"]["mAP"] = 77.7
        return json.dumps(seeds)

    path = copied(tmp_path / "runs", "kl_rpn/table2/lite", change)
    monkeypatch.setattr(page, "committed_files", lambda: [])
    page.write_page(tmp_path / "page.html", tmp_path / "runs")
    text = (tmp_path / "page.html").read_text()
    assert f"{path}#rows" in text
    assert "77.7" in text
    with pytest.raises(ValueError, match="holds no reports"):
        page.write_page(tmp_path / "page.html", tmp_path)
    monkeypatch.setattr(rendered, "MEGABYTES", 0.01)
    with pytest.raises(ValueError, match="too large"):
        page.write_page(tmp_path / "page.html")


def test_a_report_of_which_nothing_was_run_takes_no_place(tmp_path):
    def change(text):
        seeds = json.loads(text)
        for seed in seeds:
            seed["rows"] = [{**line, "metrics": None, "why": "no network"} for line in seed["rows"]]
        return json.dumps(seeds)

    path = copied(tmp_path, "kl_rpn/table2/lite", change)
    assert "no network" in page.html(page.page_of(read_sources([path])))
    sources = read_sources([*committed_files(), path])
    assert sources.tables["kl_rpn/table2", "lite"].path != path


def test_the_headline_counts_the_seeds_of_each_number(tmp_path):
    """One of three seeds has the last row of KL Loss Table 1, all have those of KL-RPN's."""

    def change(text):
        seeds = json.loads(text)
        for seed in seeds[1:]:
            seed["rows"][-1] |= {"metrics": None, "why": "no network"}
        return json.dumps(seeds)

    path = copied(tmp_path, "kl_loss/table1/mini", change)
    text = "".join(map(str, verdicts.headline(read_sources([*committed_files(), path]))))
    assert re.search(r"of its baseline by [+-][\d.]+ \(1 seed; paper ", text)
    assert re.search(r"VGG-16 by [+-][\d.]+ ± [\d.]+ \(3 seeds; paper ", text)


def test_the_command_of_a_result_measures_all_of_its_seeds(tmp_path):
    """SEEDS=2 would measure seeds 0 and 1."""
    seeds = [{"seed": number, "rows": []} for number in (0, 2)]
    path = tmp_path / "lite.json"
    source = Source(table="kl_rpn/table2", scale="lite", path=path, seeds=seeds)
    facts = dict(ran.ran_part(source).facts)
    assert facts["command"].endswith("SCALE=lite SEEDS=3 DATA=DIR`")


def test_plots_are_pictures_that_are_always_the_same():
    curves = {"a": {0.5: cell([1.0, 2.0]), 0.9: cell([None])}, "b": {}}
    labels = plots.Labels(title="AP", x="IoU", y="AP")
    first, second = (plots.line_plot(curves, labels, "seen") for _ in range(2))
    assert first == second
    assert first.uri.startswith("data:image/svg+xml;base64,")
    rows = {"a": [cell([1.0]), cell([None])]}
    assert plots.dot_plot(rows, ["one", "two"], [0.5, None], labels, "").alt == "Plot: AP."
    assert plots.bar_plot(rows, [cell([None])], ["one", "two"], labels, "").uri
    assert plots.bar_plot({}, [], ["one"], labels, "").uri


def test_learning_curves_are_means_over_seeds_and_a_damaged_file_is_a_sentence(tmp_path):
    copied(tmp_path, "kl_rpn/table2/lite")
    path = tmp_path / "lite/kl_rpn/table2/report/lite_curves.csv"
    path.write_text("run,seed,update,train/loss\na,0,0,1.0\na,1,0,3.0\nb,0,0,nan\n")
    networks = learning.read_curves(path)
    assert networks["train/loss"]["a"][0.0].mean == 2.0
    assert learning.last_values(networks["train/loss"]) == "At the end: a 2, b no number."
    path.write_text("run,seed,update,train/loss\na,0,0,x\n")
    [part] = learning.learning_section(read_sources(page.reported_files(tmp_path))).parts
    assert part.text[0][0].startswith(f"The file {path} cannot be read: ")


def test_text_is_escaped():
    assert rendered.prose("a < `b` **c**") == "a &lt; <code>b</code> <strong>c</strong>"
