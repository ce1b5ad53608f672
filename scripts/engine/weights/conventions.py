"""The pixels and the padding that ImageNet weights expect, where one backbone has weights of two
conventions: MobileNetV2, trained by torchvision or by TensorFlow.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from experiments.records import Run
from scripts.engine.weights.start import with_padding
from scripts.engine.weights.weight_file import read_weights


def with_conventions_of(run: Run, weights: str) -> Run:
    """The run with the pixels and the padding of its starting weights; prints which ones.

    Args:
        run: that starts from ImageNet. One without a MobileNetV2 stays as it is.
        weights: "auto" (torchvision's), or a file.

    Raises:
        ValueError: a file that cannot be read.
    """
    if run.model.backbone.name != "mobilenet_v2":
        return run
    tf = weights != "auto" and are_from_tensorflow(read_weights(Path(weights)))
    print(f"weights: {'TensorFlow' if tf else 'torchvision'}'s pixels and padding")
    data = replace(run.data, pixels="tf" if tf else "torchvision")
    return replace(run, model=with_padding(run.model, tf), data=data)


def are_from_tensorflow(state: Mapping[str, Tensor]) -> bool:
    """Whether the weights of a MobileNetV2 come from TensorFlow: their norms are folded in."""
    means = [value for name, value in state.items() if name.endswith("running_mean")]
    return bool(means) and not any(mean.any() for mean in means)
