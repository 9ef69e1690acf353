"""Errors that a caller may want to tell apart from Python's own."""


class PtychoError(Exception):
    """Base class of the errors of this package."""


class DataError(PtychoError, ValueError):
    """A file or an array breaks the data contract; the message says where and how to mend it."""
