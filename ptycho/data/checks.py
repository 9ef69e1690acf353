"""Checks that recognise a plausible-looking mistake in a scan and name it."""

from __future__ import annotations

from ptycho.data.scan import ScanData


def check_plausible(scan: ScanData) -> None:
    """Refuse a scan that meets the contract's shapes but cannot be right."""
