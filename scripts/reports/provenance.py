"""The notes below a report: seeds, commit, device, date, training times, and what was not run."""

from collections.abc import Iterator, Sequence
from typing import Any

from experiments.scales import scale_title
from scripts.reports.results import Results


def provenance(results: Results, scale: str) -> list[str]:
    """One sentence each: where the numbers of a report come from, and why some are absent."""
    return [
        seeds_line(results.seeds, scale),
        evaluation_line(results.seeds),
        *[f"{title}: {'; '.join(texts)}" for title, texts in trainings(results.seeds) if texts],
        *sorted({f"not run: {line['label']}: {line['why']}"
                 for line in row_lines(results.seeds) if "why" in line}),
        *[f"cited by the paper: {row.name} from {row.cited}" for row in results.rows if row.cited],
        *results.table.notes.get(scale, ()),
    ]  # fmt: skip


def row_lines(seeds: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every row of every seed; a record of another kind has none."""
    for seed in seeds:
        yield from seed.get("rows", ())


def line_name(line: dict[str, Any]) -> str:
    """A row's label, after its group if it has one."""
    group = line.get("group")
    return f"{group}: {line['label']}" if group else line["label"]


def seeds_line(seeds: Sequence[dict[str, Any]], scale: str) -> str:
    spread = "; ± is the sample standard deviation over seeds" if len(seeds) > 1 else ""
    return f"scale: {scale}; seeds: {[seed['seed'] for seed in seeds]}{spread}"


def evaluation_line(seeds: Sequence[dict[str, Any]]) -> str:
    """Commits of the trainings, where they are known, and commits, devices and dates of the
    evaluations, each once.
    """
    commits, devices, dates = (distinct(seeds, key) for key in ("commit", "device", "date"))
    trained = training_commits(seeds)
    if trained:
        commits = f"{trained} (training), {commits} (evaluation)"
    return f"commit: {commits}; evaluated on: {devices}; date: {dates}"


def training_commits(seeds: Sequence[dict[str, Any]]) -> str:
    """The commits that networks with numbers were trained at, each once; "" if none is known."""
    measured = [line for line in row_lines(seeds) if line["metrics"]]
    records = [*measured, *[seed for seed in seeds if "rows" not in seed]]
    known = sorted({one["training_commit"] for one in records if "training_commit" in one})
    unknown = any("training_commit" not in one for one in records)
    return ", ".join([*known, "not recorded"] if known and unknown else known)


def distinct(seeds: Sequence[dict[str, Any]], key: str) -> str:
    """The different values of the seeds and of rows that were evaluated apart, sorted; "not
    recorded" for a seed that has none."""
    values = {seed.get(key, "not recorded") for seed in seeds}
    values |= {line[key] for line in row_lines(seeds) if key in line}
    return ", ".join(sorted(values))


def trainings(seeds: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """(title, one text a network): how long each was trained, and which were not to their end.

    A network of before the end counts as such also where its training has ended: the last
    checkpoint was lost.
    """
    times, unfinished = set(), set()
    for line in row_lines(seeds):
        if line.get("training") and line["updates"] >= line["training"].get("step", 0):
            times.add(training_time(line))
        elif line["metrics"] and "updates" in line:
            unfinished.add(f"{line['run']}: only {line['updates']} of {line['of_updates']} updates")
    return [("training", sorted(times)), ("UNFINISHED", sorted(unfinished))]


def unfinished_networks(seeds: Sequence[dict[str, Any]]) -> list[str]:
    """A line about the networks that were not trained to their end, if there are any."""
    texts = dict(trainings(seeds))["UNFINISHED"]
    return [f"UNFINISHED: {'; '.join(texts)}"] if texts else []


def training_time(line: dict[str, Any]) -> str:
    minutes = line["training"]["seconds"] / 60
    text = f"{line['run']} {minutes:.1f} min on {line['training']['device']}"
    if line["updates"] == line["of_updates"]:
        return text
    return f"{text} (stopped at {line['updates']} of {line['of_updates']})"


def shared_networks(seeds: Sequence[dict[str, Any]]) -> list[str]:
    """A sentence for each network that stands behind several rows at this scale."""
    rows: dict[str, list[str]] = {}
    for line in row_lines(seeds[:1]):
        rows.setdefault(line["run"], []).append(line_name(line))
    return [
        f"one network at this scale, measured once (`{run}`): {', '.join(names)}"
        for run, names in rows.items() if len(names) > 1
    ]  # fmt: skip


def report_page(results: Results, scale: str, sections: Sequence[str]) -> str:
    """The markdown file of a report: title, scale, ``sections``, and the notes of its networks."""
    notes = [*provenance(results, scale), *shared_networks(results.seeds)]
    lines = "\n".join(f"* {line}" for line in notes)
    parts = [f"# {results.table.title}", f"**{scale_title(scale)}**", *sections, lines]
    return "\n\n".join(parts) + "\n"
