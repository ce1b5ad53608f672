"""Hours of training, counted once a network."""

import json

from scripts.reports.machine_hours import hours_sentence, trained_seconds


def write(folder, table, rows, *, seed=0, scale="mini"):
    path = folder / table / "results" / f"{scale}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([{"seed": seed, "scale": scale, "rows": rows}]))


def row(run, seconds, device="cpu"):
    return {"run": run, "training": {"seconds": seconds, "device": device}}


def test_a_network_in_two_tables_counts_once_and_one_trained_again_twice(tmp_path):
    """1 + 2 hours, 1 of them in both tables, and 4 hours of a second training of the first."""
    write(tmp_path, "kl_loss/table1", [row("a", 3600.0), row("b", 7200.0), {"run": "c"}])
    write(tmp_path, "kl_loss/table4", [row("a", 3600.0), {"run": "d", "training": None}])
    write(tmp_path, "kl_loss/table6", [row("a", 14400.0), row("e", 1800.0, device="cuda")])
    (tmp_path / "kl_loss/table6/results/mini_swap.json").write_text("{}")
    assert sum(trained_seconds(tmp_path)["cpu"].values()) == 7 * 3600.0
    assert hours_sentence(tmp_path) == (
        "Networks that were trained for the committed results: 3 on cpu for 7.0 hours, 1 on cuda "
        "for 0.5 hours."
    )


def test_a_network_of_both_papers_counts_once(tmp_path):
    """Lite's baseline is one recipe; a training of the other paper's own takes another time."""
    write(tmp_path, "kl_loss/table1", [row("a", 3600.0)])
    write(tmp_path, "kl_rpn/table1", [row("a", 3600.0)])
    assert len(trained_seconds(tmp_path)["cpu"]) == 1
    write(tmp_path, "kl_rpn/table2", [row("a", 3601.5)])
    assert len(trained_seconds(tmp_path)["cpu"]) == 2


def test_the_same_run_at_another_scale_or_seed_is_another_network(tmp_path):
    write(tmp_path, "kl_loss/table1", [row("a", 3600.0)])
    write(tmp_path, "kl_loss/table3", [row("a", 3600.0)], seed=1)
    write(tmp_path, "kl_loss/table4", [row("a", 3600.0)], scale="lite")
    assert len(trained_seconds(tmp_path)["cpu"]) == 3
