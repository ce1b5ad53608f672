"""What is timed: a piece of our work, the same work by a peer, and what is measured of both."""

from dataclasses import dataclass

from scripts.engine.timing import Action, Times


@dataclass(frozen=True, kw_only=True)
class Work:
    """Something to time.

    part: of the benchmark. name: what is done. grows: what its size counts, for example "RoIs".
    size: how many of them. ours: one call. peer: the same by somebody else, or None. peer_name:
    who. flops: multiplications and additions of one call, or None where arithmetic is not what it
    takes.
    """

    part: str
    name: str
    grows: str
    size: int
    ours: Action
    peer_name: str = ""
    peer: Action | None = None
    flops: float | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one call took.

    part, name, grows, size, peer_name: of the Work. ours, peer: quartiles of the time of a call,
    ms. floor_ms: its arithmetic at the machine's matrix rate. ours_mb, peer_mb: by how much memory
    in use rose during a call, or None where it cannot be read.
    """

    part: str
    name: str
    grows: str
    size: int
    ours: Times
    peer_name: str
    peer: Times | None
    floor_ms: float | None
    ours_mb: float | None
    peer_mb: float | None

    @property
    def speedup(self) -> float | None:
        """How many times as fast as the peer, by medians."""
        return None if self.peer is None else self.peer.median / self.ours.median

    @property
    def share_of_floor(self) -> float | None:
        """The time that the arithmetic alone would take, as a share of our median."""
        return None if self.floor_ms is None else self.floor_ms / self.ours.median
