"""How long the networks behind the committed results were trained, from the results alone."""

from collections import defaultdict
from pathlib import Path

from scripts.engine.files import read_json
from scripts.engine.places import EXPERIMENTS

HOUR = 3600.0
Network = tuple[str, str, int, float]  # scale, run, seed, seconds


def trained_seconds(results: Path) -> dict[str, dict[Network, float]]:
    """The seconds of each network on each device.

    A network that several tables score counts once, also where both papers do (lite's baseline);
    one that was trained again counts again.

    Args:
        results: a folder that holds PAPER/TABLE/results/SCALE.json.

    Returns:
        {device: {network: seconds}}; rows that do not say how long they took are left out.
    """
    found: dict[str, dict[Network, float]] = defaultdict(dict)
    for path in sorted(results.glob("*/*/results/*.json")):
        content = read_json(path, "restore the committed file", kind=(dict, list))
        for seed in content if isinstance(content, list) else []:
            for row in seed.get("rows", ()):
                training = row.get("training")
                if training:
                    seconds = training["seconds"]
                    network = seed["scale"], row["run"], seed["seed"], seconds
                    found[training["device"]][network] = seconds
    return found


def hours_sentence(results: Path = EXPERIMENTS) -> str:
    """In words, for docs/claims.md."""
    found = trained_seconds(results)
    parts = [
        f"{len(networks)} on {device} for {sum(networks.values()) / HOUR:.1f} hours"
        for device, networks in sorted(found.items())
    ]
    return f"Networks that were trained for the committed results: {', '.join(parts)}."
