"""What is said about the project in more than one place agrees."""

import re

import pytest
from markdown_pages import ROOT

from ptycho import __version__


def _citation(field):
    return re.search(rf"^{field}: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1]


def test_the_citation_names_this_version_and_licence():
    assert _citation("version") == __version__
    assert f'license = "{_citation("license")}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("package", ["autobatch", "ptycho"])
def test_the_package_says_that_it_is_typed(package):
    assert (ROOT / package / "py.typed").is_file()


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_continuous_integration_runs_every_python_that_is_promised(python):
    assert f"Programming Language :: Python :: {python}" in (ROOT / "pyproject.toml").read_text()
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert f'"{python}"' in re.search(r"python: \[(.*)\]", workflow)[1]


def test_continuous_integration_tries_the_oldest_of_everything_allowed():
    project = re.search(r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S)[1]
    allowed = dict(re.findall(r'"([\w-]+)>=(\d+\.[\d.]+)(?:;[^"]*)?"', project))
    assert len(allowed) == project.count('"') / 2
    pinned = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / ".github" / "oldest.txt").read_text(), re.M))
    assert {
        name: pinned.get(name)
        for name, version in allowed.items()
        if not f"{pinned.get(name)}.".startswith(f"{version}.")
    } == {}
