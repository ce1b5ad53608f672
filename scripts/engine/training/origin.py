"""What a training came from: its images and annotations, and the file of its starting weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.records import Run
from models.weights.imagenet import torchvision_file
from scripts.engine.data_identity import IMAGE_IDS, DataFacts, differing
from scripts.engine.files import sha256, write_json
from scripts.engine.places import RunPlace
from scripts.engine.training.recipe import TrainOptions
from scripts.engine.weights.start import FROM_NO_RUN, finished_checkpoint

SHOWN = 12  # digits of a hash in a sentence


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a training came from, as its checkpoints keep it.

    images: number of training images. digests: of the data, by their names
    (scripts/engine/data_identity.py). weights: path of the starting weights; None: none, or not
    known. weights_sha256: of that file.
    """

    images: int
    digests: dict[str, str]
    weights: str | None = None
    weights_sha256: str | None = None

    def without_path(self) -> dict[str, Any]:
        """As results keep it: where the weights lay says something about one machine alone."""
        return {name: value for name, value in asdict(self).items() if name != "weights"}


def new_origin(facts: DataFacts, run: Run, options: TrainOptions, place: RunPlace) -> Origin:
    """The origin of a training that begins now.

    Raises:
        ValueError: the network that it starts from is not there.
    """
    return origin(facts, starting_file(run, options, place))


def origin(facts: DataFacts, weights: Path | None) -> Origin:
    """The origin of a training on some data from a file of weights."""
    return Origin(
        images=facts.images,
        digests=facts.digests,
        weights=None if weights is None else str(weights),
        weights_sha256=None if weights is None or not weights.is_file() else sha256(weights),
    )


def starting_file(run: Run, options: TrainOptions, place: RunPlace) -> Path | None:
    """The file that a new training of ``run`` takes its weights from; None: none."""
    named = named_weights(run, options)
    if named is not None:
        return named
    if run.start == "imagenet":
        return torchvision_file(run.model.backbone.name)
    if run.start in FROM_NO_RUN:
        return None
    return finished_checkpoint(run, place.sibling(run.start))


def named_weights(run: Run, options: TrainOptions) -> Path | None:
    """The file that --from or --weights names; None if the run takes its weights from elsewhere."""
    if options.start_from is not None:
        return options.start_from
    if run.start == "imagenet" and options.weights not in ("auto", "none"):
        return Path(options.weights)
    return None


def continued_origin(
    saved: Mapping[str, Any], facts: DataFacts, run: Run, options: TrainOptions, where: Path
) -> Origin:
    """The origin of a training that goes on: its data as they are now, the weights it began with.

    Args:
        saved: a checkpoint's state, or finished.json; an older one has no origin, which is fine.
        facts: of the data now.
        run: that is trained.
        options: what the command line names, and whether changed data are permitted.
        where: the checkpoint or folder, for the sentence.

    Raises:
        ValueError: the data, or weights that are named, are not those that it began with.
    """
    named = named_weights(run, options)
    if named is not None and not named.is_file():
        print(f"note: {named} is not there; the training goes on without it")
    now = origin(facts, named)
    if not saved["step"]:  # converted weights, which were not trained by this code
        return origin(facts, named or where)
    before = saved.get("origin")
    if before is None:
        return now
    check_same_origin(before, now, where, changed_data=options.changed_data)
    return Origin(
        images=now.images,
        digests=now.digests,
        weights=before.get("weights"),
        weights_sha256=before["weights_sha256"],
    )


def check_same_origin(
    before: Mapping[str, Any], now: Origin, where: Path, *, changed_data: bool
) -> None:
    """Checks that a training goes on with the data and the named weights that it began with.

    Args:
        before: the fields of an Origin; of one that is finished without the path.
        now: the data now, and the weights that the command line names.
        where: the training.
        changed_data: whether data may have changed, which is then only said.

    Raises:
        ValueError: it does not; names what differs, and what to do.
    """
    data = [
        f"{name} ({before['images']} images then, {now.images} now)" if name == IMAGE_IDS else name
        for name in differing(before["digests"], now.digests)
    ]
    if data and changed_data:
        print(f"note: {where} began with other {' and '.join(data)}, as --changed-data permits")
        data = []
    known = before["weights_sha256"], now.weights_sha256
    weights = []
    if None not in known and known[0] != known[1]:
        weights = [f"starting weights than {now.weights} (SHA-256 {short(known[0])}, and "
                   f"{short(known[1])} now)"]  # fmt: skip
    if not data and not weights:
        return
    remedies = ["train anew in another --out folder"]
    if weights:
        remedies.insert(0, "leave --weights and --from out to go on with what it has learned")
    if data:
        remedies.insert(0, "bring the data back as they were, or add --changed-data to go on with "
                           "them as they are")  # fmt: skip
    raise ValueError(
        f"The training in {where} began with other {' and '.join([*data, *weights])}; "
        f"{', or '.join(remedies)}."
    )


def short(digest: str | None) -> str:
    """The first digits of a hash."""
    return str(digest)[:SHOWN]


def write_data_facts(path: Path, facts: DataFacts, origin: Origin) -> None:
    """Writes data.json: counts and hashes of the data, and the starting weights."""
    weights = None
    if origin.weights is not None or origin.weights_sha256 is not None:
        weights = {"path": origin.weights, "sha256": origin.weights_sha256}
    write_json(path, {**asdict(facts), "weights": weights})
