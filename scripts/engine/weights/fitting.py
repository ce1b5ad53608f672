"""Puts the weights of one detector into another: every layer that fits, and by their names the
classes that both know.

Letters: K foreground classes. Class-specific layers have a row, or a block of rows, for each of
K + 1 columns; column 0 is background.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

# the layers whose outputs mean something else in another box coding, by the group of ModelConfig
CODED = {
    "rpn": ("rpn.head.offsets.",),
    "roi": ("roi.head.predictor.offsets.", "roi.head.offset_maps."),
}
# layers with rows for each class, and those of them that class-agnostic boxes share
CLASS_LAYERS = (
    "roi.head.predictor.class_logits.",
    "roi.head.class_maps.",
    "mask.head.logits.",
    "iou.head.iou.",
)
BOX_LAYERS = (
    "roi.head.predictor.offsets.",
    "roi.head.predictor.log_variance.",
    "roi.head.offset_maps.",
    "roi.head.log_variance_maps.",
)
LISTED = 6  # names of a list


@dataclass(frozen=True, kw_only=True)
class Source:
    """A trained network: its weights by their names, its ModelConfig as plain values, its
    classes."""

    path: Path
    state: Mapping[str, Tensor]
    model: Mapping[str, Any]
    classes: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a detector takes over.

    state: the tensors, in the detector's shapes. loaded: names of those that are taken as they are.
    rows: layers of which the rows of ``kept`` classes are taken. kept: classes that both know.
    anew: layers that keep their initial weights. misfits: those tensors of theirs of which the
    other network has one of another shape.
    """

    state: dict[str, Tensor]
    loaded: list[str]
    rows: list[str]
    kept: list[str]
    anew: list[str]
    misfits: list[str]


def fit(
    source: Source, own: Mapping[str, Tensor], model: Mapping[str, Any], classes: Sequence[str]
) -> Fitted:
    """What a detector can take over from another network.

    Args:
        source: the other network.
        own: the detector's tensors with their initial weights.
        model: its ModelConfig as plain values.
        classes: its classes; rows go by their names, without regard to upper case, so that another
            order or number of classes does no harm.

    Returns:
        the tensors to load, and what became of each layer.
    """
    known = without_coded_layers(source.state, source.model, model)
    columns = matching_columns(source.classes, classes)
    same = list(columns.items()) == [(k, k) for k in range(len(classes) + 1)]
    same = same and len(source.classes) == len(classes)
    state, loaded, rows = {}, [], []
    for name, value in own.items():
        if name not in known:
            continue
        theirs = known[name]
        by_class = is_class_layer(name, source.model) and is_class_layer(name, model)
        if same or not by_class:
            if theirs.shape == value.shape:
                state[name] = theirs
                loaded.append(name)
        elif rows_fit(theirs, value, len(source.classes), len(classes)):
            state[name] = with_rows(value, theirs, columns, len(source.classes), len(classes))
            rows.append(name)
    anew = [name for name in own if name not in state]
    kept = [classes[ours - 1] for ours in columns if ours]
    return Fitted(
        state=state,
        loaded=loaded,
        rows=layers(rows),
        kept=kept,
        anew=layers(anew),
        misfits=[name for name in anew if name in known],
    )


def is_class_layer(name: str, model: Mapping[str, Any]) -> bool:
    """Whether a tensor has rows for each class in the network of a ModelConfig."""
    boxes = () if model["roi"]["class_agnostic"] else BOX_LAYERS
    return name.startswith((*CLASS_LAYERS, *boxes))


def matching_columns(theirs: Sequence[str], ours: Sequence[str]) -> dict[int, int]:
    """Our column -> their column of each class that both know; 0 -> 0 is background.

    The same name in other upper and lower case is the same class, unless theirs has both.
    """
    exact = {name: k for k, name in enumerate(theirs, start=1)}
    alike = {name.casefold(): k for k, name in reversed([*enumerate(theirs, start=1)])}
    found = {k: exact.get(name, alike.get(name.casefold())) for k, name in enumerate(ours, start=1)}
    return {0: 0} | {k: place for k, place in found.items() if place is not None}


def rows_fit(theirs: Tensor, ours: Tensor, their_classes: int, our_classes: int) -> bool:
    """Whether two tensors have the same block for each class."""
    block, rest = divmod(len(theirs), their_classes + 1)
    fits = not rest and len(ours) == block * (our_classes + 1)
    return fits and theirs.shape[1:] == ours.shape[1:]


def with_rows(
    ours: Tensor, theirs: Tensor, columns: Mapping[int, int], their_classes: int, our_classes: int
) -> Tensor:
    """A class layer in which the blocks of ``columns``, ours -> theirs, are the other network's."""
    blocks = ours.clone().unflatten(0, (our_classes + 1, -1))
    blocks[list(columns)] = theirs.unflatten(0, (their_classes + 1, -1))[list(columns.values())]
    return blocks.flatten(0, 1)


def without_coded_layers(
    state: Mapping[str, Tensor], theirs: Mapping[str, Any], ours: Mapping[str, Any]
) -> dict[str, Tensor]:
    """The weights without the layers whose outputs mean something else in another box coding.

    Args:
        state: the weights.
        theirs: the groups of the ModelConfig that they are of, as plain values.
        ours: those of the network that takes them over.
    """
    changed = tuple(
        layer
        for group, coded in CODED.items()
        for layer in coded
        if theirs[group]["box_coding"] != ours[group]["box_coding"]
    )
    return {name: value for name, value in state.items() if not name.startswith(changed)}


def layers(names: Sequence[str]) -> list[str]:
    """The modules that tensors belong to, each once, in order."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name in names))


def load_fitted(detector: nn.Module, fitted: Fitted, source: Source) -> str:
    """Loads what fits into ``detector`` in place.

    Returns:
        three lists: what is loaded, which classes keep their rows, what begins anew.
    """
    detector.load_state_dict(fitted.state, strict=False)
    total = len(detector.state_dict())
    lines = [f"weights: {len(fitted.loaded)} of {total} tensors from {source.path}"]
    if fitted.rows:
        kept = listed(fitted.kept) or "no class has the same name; background alone"
        lines.append(f"  rows by class name: {kept}, in {', '.join(fitted.rows)}")
    lines.append(f"  new: {', '.join(fitted.anew) or 'none'}")
    return "\n".join(lines)


def listed(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")
