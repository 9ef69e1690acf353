"""The documentation holds: its code runs, its commands exist, its links lead somewhere."""

import re
import shutil
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from known_models import costs_once, models_once
from markdown_pages import ROOT, anchors, broken_links, code_blocks, name_of, pages
from shell_blocks import check_command, recorded_commands

from autobatch import BatchCost, DeviceMemory, plan_batches
from ptycho.data import SimulationSettings, simulate, write_npz
from ptycho.models.bundle import save_bundle
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import PatchModel

# Records of what was run once are kept as they were.
EXECUTED = [page for page in pages() if not name_of(page).startswith("plans/") and code_blocks(page)]
# "text" is output and formulas; the other kinds have no command in them.
LANGUAGES = {"python", "sh", "bash", "text", "json", "csv", "toml", "yaml"}
# The commands of these pages find every file that they read.
STORIES = {
    "README.md",
    "docs/index.md",
    "docs/coming-from-ptychopinn.md",
    "docs/tutorial.md",
    "docs/how-to/does-not-fit.md",
    "docs/how-to/own-data.md",
    "docs/how-to/your-own-network.md",
}
# Bytes usable, half of those free; bytes of an item and of its share in the largest tensor (`keras_model_cost`); items.
EXAMPLES = [
    ("docs/how-to/does-not-fit.md", 10_157_000_000, 1_605_632, 524_288, 1521),
    ("docs/tutorial.md", 10_813_500_000, 819_200, 262_144, 484),
]


@pytest.fixture(scope="module")
def readers_files(tmp_path_factory):
    """What the pages take to be there: a scan, the same as tike writes it, a reconstruction, two models."""
    folder = tmp_path_factory.mktemp("reader")
    scan = simulate(SimulationSettings(object_shape_yx=(100, 130), n_lines=12, step_px=9.0, seed=4))
    write_npz(folder / "scan.npz", scan)
    counts = np.fft.ifftshift(scan.amplitude**2, axes=(1, 2))
    np.savez(
        folder / "scan_from_tike.npz", data=np.rint(counts)[None], scan=scan.positions_yx, probe=scan.probe
    )
    np.savez(
        folder / "reconstruction.npz",
        reconstructed_object=scan.object_guess,
        reconstructed_probe=scan.probe,
        algorithm="ePIE",
        positions_yx=scan.positions_yx,
    )
    for kind in ("pinn", "baseline"):
        architecture = Architecture(kind=kind, patch_size=64, n_filters_scale=0.25)
        save_bundle(folder / "runs" / kind, PatchModel(build_network(architecture), architecture))
    return folder


@pytest.mark.parametrize("page", EXECUTED, ids=name_of)
def test_the_code_of_a_page_runs_in_order(page, readers_files, tmp_path, monkeypatch, capsys):
    models_once(monkeypatch)
    costs_once(monkeypatch)
    folder = tmp_path / "reader"
    shutil.copytree(readers_files, folder)
    monkeypatch.chdir(folder)
    names, commands, shown = {"__name__": "page"}, [], shown_output(page)
    for block in code_blocks(page, "python", "sh", "bash"):
        if block.language == "python":
            # Empty lines in front make a traceback name the line of the page.
            source = "\n" * (block.line - 1) + block.text
            capsys.readouterr()
            exec(compile(source, str(page), "exec"), names)
            printed = capsys.readouterr().out
            assert printed == shown.get(block.line, printed)
        else:
            commands += [
                check_command(words) for words in _one_of_a_kind(recorded_commands(block.text, folder))
            ]
    without = [command.words for command in commands if command.outcome == "inputs missing"]
    assert without == [] or name_of(page) not in STORIES


def shown_output(page):
    """The `text` blocks of `page` that directly follow a Python block, by the line of that block."""
    lines, blocks = page.read_text(encoding="utf-8").splitlines(), code_blocks(page)
    return {
        code.line: output.text
        for code, output in pairwise(blocks)
        if (code.language, output.language) == ("python", "text")
        and not "".join(lines[code.line + code.text.count("\n") : output.line - 2]).strip()
    }


def test_only_output_that_directly_follows_its_code_is_compared(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nprint(1)\n```\n\n```text\n1\n```\n\n```python\nprint(2)\n```\nWords.\n\n```text\n3\n```\n"
    )
    assert shown_output(page) == {2: "1\n"}


@pytest.mark.parametrize(("name", "usable_bytes", "each", "largest", "n_items"), EXAMPLES)
def test_a_plan_in_an_example_is_worded_as_the_planner_words_it(name, usable_bytes, each, largest, n_items):
    cost = BatchCost(
        bytes_per_item=each,
        fixed_bytes=8,
        largest_tensor_bytes_per_item=largest,
        source="estimated",
        uncertainty=1.8,
    )
    free_bytes = 2 * usable_bytes
    memory = DeviceMemory(
        device="CPU",
        total_bytes=free_bytes,
        free_bytes=free_bytes,
        usable_bytes=usable_bytes,
        source="the page",
    )
    plan = plan_batches(n_items, cost=cost, device=lambda: memory)
    assert plan.reason in " ".join((ROOT / name).read_text(encoding="utf-8").split())


def test_the_tree_of_the_architecture_names_every_module():
    tree = code_blocks(ROOT / "docs" / "architecture.md", "text")[0].text
    modules = Counter(
        path.name
        for package in ("autobatch", "ptycho")
        for path in (ROOT / package).rglob("*.py")
        if path.name not in ("__init__.py", "_version.py")
    )
    assert Counter(re.findall(r"\w+\.py\b", tree)) == modules


def _one_of_a_kind(commands):
    """Leave one of the commands that differ in their numbers alone, as those of a loop do."""
    return {re.sub(r"\d+", "0", " ".join(words)): words for words in reversed(commands)}.values()


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_block_of_code_names_a_language(page):
    assert {block.language for block in code_blocks(page)} <= LANGUAGES


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_block_in_a_list_is_indented_by_four(page):
    # Hosts of Markdown take three for part of "1. ", the site does not and begins the list anew.
    assert [block.line for block in code_blocks(page) if block.indent % 4] == []


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_link_leads_somewhere(page):
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "there.md").write_text(
        "# Five `--flags`, no more\n\n```text\n# not a heading\n```\n## Twice\n## Twice\n"
    )
    (docs / "page.md").write_text(
        "[good](there.md#five---flags-no-more) [second](there.md#twice-1) ![img](picture.png)\n"
        "[far](https://a.example/x) [gone](there.md#not-a-heading) `[code](no.md)` [out](../../x.md) [all](../docs)\n"
        "```text\n[block](no.md)\n```\n[by name][one]\n\n[one]: lost.md\n"
    )
    reasons = [line.removeprefix("docs/page.md: ") for line in broken_links(docs / "page.md", tmp_path)]
    assert reasons == [
        "picture.png: no such file",
        "there.md#not-a-heading: no such heading",
        "../../x.md: leads out of the repository",
        "../docs: is a folder, which the site cannot show",
        "lost.md: no such file",
    ]
    assert anchors(docs / "there.md") == {"five---flags-no-more", "twice", "twice-1"}


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        (
            "ptycho-train --model pinn --train_data a.npz --output_dir b --epoch 3",
            "does not take: .*--epoch 3",
        ),
        ("ptycho-simulate out.npz --seed seven", "does not take"),
        ("make tset", "there is no tset"),
        ("pip install '.[gpus]'", "there is no gpus"),
        ("python -m pytest tests/test_nothing.py -q", "there is no tests/test_nothing.py"),
        ("python scripts/compare.py", "there is no scripts/compare.py"),
        ("compare-model --demo", "command not found"),
        ("for x in 1 2; do ptycho-simulate $x.npz", "syntax error"),
        ("python -m autobatch prob", "exit code 2"),
    ],
)
def test_a_command_that_would_not_work_is_found(block, complaint, tmp_path):
    with pytest.raises(AssertionError, match=complaint):
        [check_command(words) for words in recorded_commands(block, tmp_path)]


def test_the_shell_itself_expands_a_block(tmp_path):
    block = "for n in $(seq 2 3); do\n  ptycho-simulate \\\n    'a b'-$n.npz  # why\ndone\n.venv/bin/python -m pytest\n"
    assert recorded_commands(block, tmp_path) == [
        ["ptycho-simulate", "a b-2.npz"],
        ["ptycho-simulate", "a b-3.npz"],
        ["python", "-m", "pytest"],
    ]
