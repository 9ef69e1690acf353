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
    [("", ["finalized", "exit", "found"]), ("leave_to_the_system_at_exit()", ["finalized", "exit"])],
)
def test_nothing_is_searched_at_the_exit_and_all_else_is_done(command, seen):
    program = f"{_CIRCLE}\nfrom ptycho.cli._garbage import *\n{command}\nleave_a_circle()"
    assert _output_of(program) == seen


def test_every_command_ends_without_a_search():
    program = (
        f"{_CIRCLE}\nfrom ptycho.cli import _errors, _flags\n"
        "_errors.run(_flags.argument_parser('tool', 'Do a thing.'), lambda arguments: 0, [])\nleave_a_circle()"
    )
    assert _output_of(program) == ["finalized", "exit"]


def test_work_leaves_out_what_was_there_before_it_and_finds_what_it_makes():
    program = (
        f"{_CIRCLE}\nimport gc\nfrom ptycho.cli import _errors\n"
        "with _errors.working():\n    leave_a_circle(); print(gc.get_freeze_count() > 1000, gc.collect() > 0)\n"
        "count = gc.get_freeze_count()\nmore = [[] for _ in range(1000)]\n"
        "with _errors.working():\n    print(gc.get_freeze_count() <= count)\n"
    )
    assert _output_of(program) == ["finalized", "found", "True", "True", "True", "exit"]


def test_a_command_leaves_the_collector_as_it_was():
    before = gc.isenabled(), gc.get_threshold()
    assert _errors.run(_flags.argument_parser("tool", "Do a thing."), lambda arguments: 0, []) == 0
    assert (gc.isenabled(), gc.get_threshold()) == before
