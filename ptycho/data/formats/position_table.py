"""Tables of positions as ptychodus writes them: with commas (y, x), with spaces (x, y), in metres."""

from __future__ import annotations

import logging

from ptycho.data.formats._containers import TextTable
from ptycho.data.formats._format import Format
from ptycho.data.formats._parts import Parts

logger = logging.getLogger(__name__)


def _parts(table: TextTable) -> Parts:
    order = "y, x" if table.has_commas else "x, y"
    logger.info("%s: columns are taken for %s in metres, as ptychodus writes them", table.name, order)
    return Parts(files=(table.name,), positions_yx=table.rows if table.has_commas else table.rows[:, ::-1])


FORMAT = Format(
    name="positions",
    title="a table of positions",
    container=TextTable,
    # Columns with names may be in any unit: they are for the importer.
    recognises=lambda table: table.rows.ndim == 2 and table.rows.shape[1] == 2 and not table.names,
    parts=_parts,
)
