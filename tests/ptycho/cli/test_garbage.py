"""What a command has imported is not searched for garbage, neither while it works nor at its end."""

import gc
import subprocess
import sys

import pytest

from ptycho.cli import _errors, _flags

# An object in a circle, whose end is seen only if somebody searches for circles.
_CIRCLE = """
import atexit, weakref

class Node:
    def __del__(self):
        print("found", flush=True)

def leave_a_circle():
    node = Node()
    node.itself = node
    weakref.finalize(node, print, "finalized", flush=True)

atexit.register(print, "exit", flush=True)
"""


def _output_of(program):
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return result.stdout.split()


@pytest.mark.parametrize(
    ("command", "seen"),
    [
        ("", ["finalized", "exit", "found"]),
        ("_errors.run(_flags.argument_parser('tool', 'Do it.'), lambda _: 0, [])", ["finalized", "exit"]),
    ],
)
def test_a_command_ends_without_a_search_and_all_else_is_done(command, seen):
    program = f"{_CIRCLE}\nfrom ptycho.cli import _errors, _flags\n{command}\nleave_a_circle()"
    assert _output_of(program) == seen


def test_work_leaves_out_what_was_there_before_it_and_finds_what_it_makes():
    program = (
        f"{_CIRCLE}\nimport gc\nfrom ptycho.cli import _errors\n"
        "with _errors.working():\n    leave_a_circle(); print(gc.get_freeze_count() > 1000, gc.collect() > 0)\n"
        "count = gc.get_freeze_count()\nmore = [[] for _ in range(1000)]\n"
        "with _errors.working():\n    print(gc.get_freeze_count() <= count)\n"
    )
    assert _output_of(program) == ["finalized", "found", "True", "True", "True", "exit"]


@pytest.mark.parametrize("fails", [False, True])
def test_searches_are_few_until_the_work_begins_and_as_ever_after_the_command(fails):
    usual, seen = gc.get_threshold(), []

    def command(arguments):
        seen.append(gc.get_threshold())
        if fails:
            raise ValueError("odd")
        with _errors.working():
            seen.append(gc.get_threshold())
        return 0

    assert _errors.run(_flags.argument_parser("tool", "Do a thing."), command, []) == (2 if fails else 0)
    assert seen[0][0] > 10 * usual[0]
    assert seen[1:] == ([] if fails else [usual])
    assert (gc.isenabled(), gc.get_threshold()) == (True, usual)
