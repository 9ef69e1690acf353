"""Errors that callers tell apart have one base, and an error becomes one sentence with what to do."""

import errno
import inspect

import pytest

from autobatch.errors import AutobatchError, DoesNotFitError
from ptycho import errors
from ptycho._error_wording import EXPECTED_ERRORS, in_words, reason_of
from ptycho.errors import DataError, PtychoError, SettingsError


def test_every_error_of_the_package_is_caught_by_its_base():
    named = {each for _, each in inspect.getmembers(errors, inspect.isclass)}
    assert named == {PtychoError, DataError, SettingsError}
    assert all(issubclass(each, PtychoError) for each in named)
    # Programs that know Python's own errors alone catch these.
    assert issubclass(DataError, ValueError)
    assert issubclass(SettingsError, ValueError)
    assert {PtychoError, AutobatchError} <= set(EXPECTED_ERRORS)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOENT, "check the path"),
        (errno.EISDIR, "pass a file"),
        (errno.ENOTDIR, "a part of the path is a file; pass a folder"),
        (errno.EACCES, "check its permissions"),
        (errno.EROFS, "write elsewhere"),
        (errno.EFBIG, "raise the limit on file sizes or write elsewhere"),
        (errno.ENOSPC, "free some space or write elsewhere"),
        (errno.EDQUOT, "free some space or write elsewhere"),
    ],
)
def test_an_error_of_the_system_names_file_and_remedy(number, remedy):
    assert in_words(OSError(number, "It went wrong", "scan.npz")) == f"scan.npz: It went wrong; {remedy}."


def test_an_error_without_file_or_known_remedy_is_a_sentence_too():
    assert in_words(OSError(errno.EIO, "Input/output error")) == "Input/output error."
    assert in_words(MemoryError("Unable to allocate 4 GiB")) == (
        "out of memory (Unable to allocate 4 GiB); close other programs or pass fewer frames."
    )
    assert in_words(MemoryError()) == "out of memory; close other programs or pass fewer frames."
    assert in_words(DataError("the file is damaged.")) == "the file is damaged."


def test_a_reason_names_the_class_unless_the_words_are_ours():
    assert reason_of(DataError("the probe is zero.")) == "the probe is zero."
    assert reason_of(
        DoesNotFitError("not even one frame fits.", first=OSError(), last=OSError(), n_committed=0)
    ) == ("not even one frame fits.")
    assert reason_of(ValueError("a side is 0.")) == "a side is 0."
    assert reason_of(ValueError()) == "ValueError"
    assert reason_of(KeyError("probe")) == "KeyError: 'probe'"
    assert reason_of(MemoryError("4 GiB\nand more")) == "out of memory: 4 GiB"


def test_of_an_error_in_a_graph_the_line_before_its_node_is_told():
    told = (
        "Graph execution error:\n\nDetected at node 'a'\nOOM when allocating (1, 2)\n\t [[{{node a}}]] [Op:b]"
    )
    assert reason_of(RuntimeError(told)) == "RuntimeError: OOM when allocating (1, 2)"
