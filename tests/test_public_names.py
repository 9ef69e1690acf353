"""What is public is listed, what is listed is public, and each name has one address."""

import inspect
from collections import Counter

import pytest
from public_names import HOMES, REFERENCE, SHORTCUTS, described, exported, is_class, resolved, shortcuts


@pytest.mark.parametrize("door", HOMES)
def test_the_page_of_a_door_lists_the_names_that_it_gives(door):
    listed = [name.rpartition(".") for name in described(HOMES[door])]
    assert {own for home, _, own in listed if home == door} == exported(door)


def test_a_name_is_described_once():
    names = [name for page in sorted({*HOMES.values()}) for name in described(page)]
    assert {name for name, count in Counter(names).items() if count > 1} == set()
    # A name that leads to the same object is a second address of it.
    described_things = [id(resolved(name)) for name in names if callable(resolved(name))]
    assert len(described_things) == len(set(described_things))


def test_every_page_of_the_reference_belongs_to_a_door():
    assert {page.name for page in REFERENCE.glob("*.md")} == {*HOMES.values(), "index.md"}
    for page in {*HOMES.values()}:
        assert {name.rpartition(".")[0] for name in described(page)} <= {
            door for door, own in HOMES.items() if own == page
        }


def test_the_tables_of_the_first_page_list_the_shortcuts_and_their_homes():
    given = {f"{door}.{name}" for door in SHORTCUTS for name in exported(door)}
    assert shortcuts().keys() == given
    everywhere = {name for page in HOMES.values() for name in described(page)}
    for short, home in shortcuts().items():
        if short != "ptycho.__version__":
            assert home in everywhere
            assert resolved(short) is resolved(home)


def test_a_public_class_or_function_says_what_it_is():
    names = [name for page in HOMES.values() for name in described(page)]
    # Plain values and aliases of types have a comment instead, and no docstring of their own.
    things = {name: resolved(name) for name in names}
    bare = [
        name
        for name, thing in things.items()
        if (is_class(thing) or inspect.isfunction(thing)) and not inspect.getdoc(thing)
    ]
    assert bare == []
