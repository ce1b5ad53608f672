"""Evaluates a table: for each seed its networks, and for each network all rows that use it."""

from collections.abc import Sequence
from dataclasses import dataclass

from data.records import Dataset
from experiments.records import Row, Run, Table
from scripts.engine.command import EnvironmentFault
from scripts.engine.environment import Environment
from scripts.engine.evaluation.cost import COST_COLUMNS, row_costs
from scripts.engine.evaluation.hparams import write_row
from scripts.engine.evaluation.inference import detections_of, run_candidates
from scripts.engine.evaluation.refinement import RefinementTask, RowDetections, refine_and_segment
from scripts.engine.evaluation.results import (
    Line,
    missing_line,
    row_line,
    run_facts,
    scaled_runs,
    seed_results,
)
from scripts.engine.evaluation.scoring import (
    SCORERS,
    LabeledDatasets,
    Scores,
    score,
)
from scripts.engine.files import write_json
from scripts.engine.places import RunPlace, TablePlace
from scripts.engine.processes import is_first, share


@dataclass(frozen=True, kw_only=True)
class NetworkResults:
    """What one trained network gives to all its rows, and its updates, made and planned.

    detections: by ``row_key``.
    """

    detections: dict[str, RowDetections]
    updates: int
    of_updates: int


def evaluate_table(table: Table, place: TablePlace, environment: Environment, seeds: int) -> None:
    """Evaluates every row with each of ``seeds`` seeds and writes the numbers of each seed.

    Raises:
        ValueError: if the table is measured by another command, or no row has numbers with
            any seed: then nothing is written.
        EnvironmentFault: the scores, which are printed, cannot be written.
    """
    if table.metric not in SCORERS:
        raise ValueError(
            f"{place.name} is not scored from candidates; use `python -m scripts.{table.command} "
            f"{place.name}`."
        )
    test_sets = LabeledDatasets(environment)
    empty, unwritten = [], []
    for seed in range(seeds):
        lines = evaluate_seed(table, place, environment, seed, test_sets)
        ran = sum(line["metrics"] is not None for line in lines)
        if not ran:
            empty.append(nothing_evaluated(place, seed, lines))
            continue
        path = place.seed_file(seed)
        try:
            if is_first():
                write_json(path, seed_results(table, place, environment, seed, lines))
        except (OSError, EnvironmentFault) as error:
            unwritten.append(str(error))
            continue
        print(f"{place.name}, seed {seed}: {ran} of {len(lines)} rows -> {path}", flush=True)
    if unwritten:
        raise EnvironmentFault(f"The scores are printed above and not kept: {unwritten[0]}")
    if len(empty) == seeds:
        raise ValueError(empty[0])
    for sentence in empty:
        print(sentence)


def nothing_evaluated(place: TablePlace, seed: int, lines: Sequence[Line]) -> str:
    """Why no row of a table has numbers, and what to do, in one sentence."""
    reasons = " | ".join(dict.fromkeys(str(line["why"]) for line in lines))
    return (
        f"{place.name}, seed {seed}: none of its {len(lines)} rows was evaluated, and nothing was "
        f"written ({reasons}); train its runs first (`python -m scripts.list_runs {place.name} "
        f"--scale {place.scale}` lists them), or give the --out, --scale and seed that they have."
    )


def evaluate_seed(
    table: Table, place: TablePlace, environment: Environment, seed: int, test_sets: LabeledDatasets
) -> list[Line]:
    """The results of every row with one seed.

    Args:
        table: what is evaluated.
        place: where its results and runs are kept.
        environment: of the command.
        seed: of the networks.
        test_sets: keeps what was opened for the next seed.
    """
    runs = scaled_runs(table, environment)
    networks: dict[str, NetworkResults | None] = {}
    scores: dict[tuple[str, str], Scores] = {}
    lines = []
    for row in table.rows:
        run = runs[row.run.name]
        run_place = place.run_place(run, seed)
        if run.name not in networks:
            same = [other for other in table.rows if runs[other.run.name].name == run.name]
            networks[run.name] = network_results(same, run, run_place, environment, test_sets)
        network = networks[run.name]
        if row.missing or network is None:
            lines.append(missing_line(row, run, run_place))
            continue
        key = (run.name, row_key(row))
        if key not in scores:
            detections = network.detections[row_key(row)]
            scores[key] = score(detections, test_sets.of(run), table.metric)
        print_row(row, scores[key], table.columns)
        facts = run_facts(
            run_place, network.updates, network.of_updates, test_sets.of(run).identity
        )
        lines.append({**row_line(row, run), "metrics": scores[key], **facts})
        write_row(row, place.name, run, run_place, scores[key], network.updates)
    if COST_COLUMNS & set(table.columns):
        lines = with_costs(lines, table, runs, place, environment, seed, test_sets)
    return lines


def network_results(
    rows: Sequence[Row],
    run: Run,
    place: RunPlace,
    environment: Environment,
    test_sets: LabeledDatasets,
) -> NetworkResults | None:
    """The detections of all rows of one network.

    Args:
        rows: of the table that use the network; those that are missing are left out.
        run: at the scale and on the data of the command.
        place: of ``run``.
        environment: of the command.
        test_sets: opened only if there is a network, because others need no data.

    Returns:
        the results; None if there is no network to evaluate.
    """
    rows = [row for row in rows if not row.missing]
    if not rows or not place.has_checkpoints:
        return None
    return evaluate_network(rows, run, place, environment, test_sets.of(run).dataset)


def evaluate_network(
    rows: Sequence[Row],
    run: Run,
    place: RunPlace,
    environment: Environment,
    dataset: Dataset,
    *,
    split: str = "",
    with_masks: bool = True,
) -> NetworkResults | None:
    """The detections of ``rows``, all of one network; None if it is not trained.

    Args:
        rows: of a table; each is computed from this network.
        run: at the scale and on the data of the command.
        place: of ``run``.
        environment: of the command.
        dataset: the images.
        split: the name of the split if it is not the run's test split.
        with_masks: False: no masks, whatever the network makes.
    """
    threshold = min(row.postprocess.score_threshold for row in rows)
    tasks: dict[str, RefinementTask] = {}
    updates, of_updates = 0, 0
    for rounds in sorted({row.rounds for row in rows}):
        network = run_candidates(
            run, place, dataset, environment, threshold=threshold, split=split, rounds=rounds
        )
        if network is None:
            return None
        updates, of_updates = network.updates, network.of_updates
        for row in rows:
            if row.rounds == rounds and row_key(row) not in tasks:
                detections = detections_of(network.candidates, row)
                tasks[row_key(row)] = RefinementTask(detections=detections, refinement=row.refine)
    return NetworkResults(
        detections=refine_and_segment(
            run, place, dataset, environment, tasks, split=split, with_masks=with_masks
        ),
        updates=updates,
        of_updates=of_updates,
    )


def row_key(row: Row) -> str:
    """How a row comes from its network: rows with the same key have the same detections."""
    return repr((row.postprocess, row.rounds, row.refine))


def print_row(row: Row, scores: Scores, columns: Sequence[str]) -> None:
    """Prints the columns of a row that are known so far."""
    shown = "  ".join(f"{column} {scores[column]:.1f}" for column in columns if column in scores)
    print(f"{row.name}: {shown}", flush=True)


def with_costs(
    lines: Sequence[Line],
    table: Table,
    runs: dict[str, Run],
    place: TablePlace,
    environment: Environment,
    seed: int,
    test_sets: LabeledDatasets,
) -> list[Line]:
    """The lines of a seed with parameters and speed where there are numbers."""
    if share().of > 1:
        print("note: speed_ms is measured in all processes at once; for a table use one process")
    places = {name: place.run_place(run, seed) for name, run in runs.items()}
    dataset = test_sets.of(runs[table.rows[0].run.name]).dataset
    costs = row_costs(table.rows, runs, places, dataset, environment)
    return [
        {**line, "metrics": add_costs(line["metrics"], cost)}
        for line, cost in zip(lines, costs, strict=True)
    ]


def add_costs(metrics: Scores | None, costs: Scores) -> Scores | None:
    """The numbers of a row with its costs, which are the same whatever it is scored on."""
    if metrics is None:
        return None
    clean = {"clean": {**metrics["clean"], **costs}} if "clean" in metrics else {}
    return {**metrics, **costs, **clean}
