"""Errors that a caller may want to tell apart from Python's own."""


class PtychoError(Exception):
    """Base class of the errors of this package."""


class DataError(PtychoError, ValueError):
    """A file or an array breaks the data contract; the message says where and how to mend it."""


class SettingsError(PtychoError, ValueError):
    """A field of a settings class is of another type, misspelt or out of range; the message says what is allowed."""
