"""What lies beside the exported parts of a network: all that is not weights, as plain records.

The file is detector.json. Sizes are (height, width), boxes (x1, y1, x2, y2) px.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

FILE = "detector.json"
FORMAT = 1  # of the file; another number is another meaning
Coding = Literal["center_size", "edges"]
Pooling = Literal["align", "max", "precise", "ps_align", "ps_average"]
Suppression = Literal["hard", "soft_linear", "soft_gaussian"]
Four = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Input:
    """From an image to the network's input.

    order, mean, std: value = (rgb[order] - mean) / std, rgb in 0..255. long_side: None: no limit.
    fixed_size: the one padded size that the dense part takes; None: any multiple of ``divisor``
    whose sides are at least ``least_side`` px.
    """

    short_side: int
    long_side: float | None
    order: tuple[int, int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    divisor: int
    fixed_size: tuple[int, int] | None
    least_side: int = 1


@dataclass(frozen=True, kw_only=True)
class Coder:
    """How offsets become boxes: of edges by KL Loss Eq. 1, or R-CNN's of center and size.

    weights: of the four offsets. limit: of |offset / weight| for edges, of the log size ratio for
    center and size. minus_one: see ``data.boxes.CenterSizeCoder``.
    """

    coding: Coding
    weights: Four
    limit: float
    minus_one: bool = True


@dataclass(frozen=True, kw_only=True)
class FirstStage:
    """From the outputs of the anchors to proposals.

    cells: the anchors (x1, y1, x2, y2) of the first position, of each level. strides: px a cell of
    each level. fit_strides: see ``models.anchors.AnchorGenerator``. min_size: px, original image.
    """

    cells: tuple[tuple[Four, ...], ...]
    strides: tuple[int, ...]
    fit_strides: bool
    coder: Coder
    pre_nms: int
    post_nms: int
    nms_iou: float
    min_size: float


@dataclass(frozen=True, kw_only=True)
class SecondStage:
    """From proposals to the outputs of the head, and from those to boxes.

    head: "pooled": the head part takes pooled RoIs; "maps": R-FCN's maps are in the dense part, and
    there is no head part. bins: a side of a pooled RoI. strides: of the levels that RoIs are pooled
    from. log_variance_limit: of the absolute value of a log variance; None: no limit.
    """

    head: Literal["pooled", "maps"]
    pooling: Pooling
    bins: int
    strides: tuple[int, ...]
    sampling_ratio: int
    aligned: bool
    canonical_size: float
    coder: Coder
    log_variance: bool
    num_classes: int
    log_variance_limit: float | None = None


@dataclass(frozen=True, kw_only=True)
class Postprocess:
    """From scored boxes to detections; the fields of ``postprocess.config.PostprocessConfig``
    without the methods that only tables compare with."""

    suppression: Suppression = "hard"
    iou_threshold: float = 0.5
    soft_nms_sigma: float = 0.5
    score_floor: float = 0.001
    sigma_t: float = 0.0
    voters: Literal["all", "remaining"] = "all"
    voter_iou: float = 0.0
    score_threshold: float = 0.05
    max_detections: int = 100


@dataclass(frozen=True, kw_only=True)
class SigmaFactors:
    """By what a recalibrated network's sigmas are multiplied: a row of four for each size bin."""

    edges: tuple[float, ...]
    factors: tuple[Four, ...]


@dataclass(frozen=True, kw_only=True)
class Description:
    """Everything of a detector but its weights.

    weights: a digest of them, by which parts of two networks are told apart. left_out: in words,
    what of the checkpoint was not exported.
    """

    weights: str
    classes: tuple[str, ...]
    left_out: tuple[str, ...]
    input: Input
    first: FirstStage
    second: SecondStage
    postprocess: Postprocess
    sigma: SigmaFactors | None
    format: int = FORMAT


def to_json(description: Description) -> str:
    """The text of the file."""
    return json.dumps(asdict(description), indent=1) + "\n"


def read_description(folder: Path) -> Description:
    """The record that lies in a folder of exported parts.

    Raises:
        ValueError: there is none, or it is damaged or of another version.
    """
    path = folder / FILE
    try:
        saved = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ValueError(
            f"{path} does not exist: {folder} is no folder that scripts.export wrote."
        ) from error
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} cannot be read ({error}); run scripts.export again.") from error
    if not isinstance(saved, dict) or saved.get("format") != FORMAT:
        raise ValueError(
            f"{path} is not of format {FORMAT}; run scripts.export of this version again."
        )
    try:
        return of_plain(saved)
    except (KeyError, TypeError) as error:  # a field is missing, or one is unknown
        raise ValueError(
            f"{path} lacks a field or has an unknown one ({error}); run scripts.export again."
        ) from error


def of_plain(saved: dict[str, Any]) -> Description:
    """The record of which ``asdict`` made these values."""
    saved = {name: tuples(value) for name, value in saved.items()}
    first, second = saved["first"], saved["second"]
    return Description(
        **saved
        | {
            "input": Input(**saved["input"]),
            "first": FirstStage(**first | {"coder": Coder(**first["coder"])}),
            "second": SecondStage(**second | {"coder": Coder(**second["coder"])}),
            "postprocess": Postprocess(**saved["postprocess"]),
            "sigma": None if saved["sigma"] is None else SigmaFactors(**saved["sigma"]),
        }
    )


def tuples(value: Any) -> Any:
    """Lists of JSON as tuples, at every depth."""
    if isinstance(value, dict):
        return {name: tuples(inner) for name, inner in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, list) else value
