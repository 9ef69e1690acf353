"""To how many rows a batch is filled up, so that a compiled function sees few sizes."""

from __future__ import annotations


class Padding:
    """Fills a batch up to a size that has run before, and to a multiple.

    Parameters
    ----------
    to_known_sizes : bool
        Whether a batch smaller than one that has run is filled up to that one's size.
    multiple_of : int
        Number of which every batch is a multiple, such as that of the replicas.
    """

    def __init__(self, *, to_known_sizes: bool, multiple_of: int = 1) -> None:
        self._to_known_sizes, self._multiple_of = to_known_sizes, multiple_of
        self._known: set[int] = set()

    def target(self, n_items: int) -> int:
        """Return the number of rows for a batch of `n_items`."""
        size = -(-n_items // self._multiple_of) * self._multiple_of
        if not self._to_known_sizes:
            return size
        return min((known for known in self._known if known >= size), default=size)

    def went_well(self, n_rows: int) -> None:
        """Note a size that has run."""
        self._known.add(n_rows)

    def failed(self, n_rows: int) -> None:
        """Forget the sizes that do not fit any more."""
        self._known = {known for known in self._known if known < n_rows}
