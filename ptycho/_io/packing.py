"""How many bytes a file may declare beside those that it stores: what declares more is a bomb or a lie."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Packing:
    """How well contents of one kind are packed at most.

    Attributes
    ----------
    ratio : int
        Bytes unpacked for each byte stored.
    small_bytes : int
        Up to which contents may be packed as well as they like.
    """

    ratio: int
    small_bytes: int

    def most(self, stored_bytes: int) -> int:
        """Return how many bytes are unpacked at most from `stored_bytes`."""
        return max(self.small_bytes, self.ratio * stored_bytes)


# Frames may be empty almost everywhere, and deflate packs at most 1032 to 1.
FRAMES = Packing(ratio=1100, small_bytes=64 << 20)
# A probe, an image of the object, positions: a guess of all ones of 5800 x 5800 pixels is small.
SINGLE = Packing(ratio=100, small_bytes=256 << 20)
# Trained weights hardly pack at all, an optimiser's unused state does.
WEIGHTS = Packing(ratio=20, small_bytes=64 << 20)
