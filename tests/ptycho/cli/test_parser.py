"""The one parser: flags as they were meant, unknown ones named first, PtychoPINN's mapped or answered."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from ptycho.cli import _errors, _flags, _spelling
from ptycho.cli._parser import ForeignFlags, Missing, Parser, Renamed, Settled
from ptycho.cli._ptychopinn_flags import COMPARE, RECONSTRUCT, TRAIN
from ptycho.cli._spelling import edit_distance, nearest
from ptycho.cli.main import VERBS

PARSERS = {verb.older_name: importlib.import_module(verb.module).build_parser for verb in VERBS}

# What each command needs, in the first spelling of its help.
NEEDED = {
    "compare-models": ["--pinn_dir", "p", "--baseline_dir", "b", "--test_data", "t", "--output_dir", "o"],
    "ptycho-reconstruct": ["--model_dir", "m", "--test_data", "t", "--output_dir", "o"],
    "ptycho-train": ["--model", "pinn", "--train_data", "t", "--output_dir", "o"],
    "ptycho-simulate": ["o.npz"],
    "ptycho-convert": ["i.npz", "o.npz"],
    "ptycho-inspect": ["i.npz"],
    "ptycho-refine": ["--test_data", "t", "--output_dir", "o"],
    "ptycho-report": ["d"],
}
OTHER_FLAGS = ForeignFlags(
    {
        "turns": Renamed("--count", {"many": "9"}),
        "backend": Settled(("tensorflow",), "there is one"),
        "weight": Settled(("1",), "it is fixed"),
        "smooth": Settled(("false",), "nothing is smoothed"),
        "N": Missing("the file tells it"),
    },
    {"torch-": Missing("there is no PyTorch")},
)


def _parser(foreign=OTHER_FLAGS):
    parser = Parser("tool", "Do a thing.", foreign)
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--count", type=_flags.positive_int, default=1)
    parser.add_argument("--low", type=float)
    parser.add_argument("--sides", nargs=2)
    parser.add_argument("rest", nargs="*")
    return parser


def _refusal(parser, words, capsys):
    """The one line that `parser` says of `words`, without its name."""
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(words)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said.removeprefix(f"{parser.prog}: error: ").rstrip("\n")


@pytest.mark.spec("CM-1.1")
def test_an_unknown_flag_is_named_with_the_nearest_before_one_that_is_missing(capsys):
    assert _refusal(_parser(), ["--coumt", "3"], capsys) == "unknown --coumt; did you mean --count?"
    assert _refusal(_parser(), ["--count", "none", "--outputdir=x"], capsys) == (
        "unknown --outputdir; did you mean --output_dir?"
    )
    assert _refusal(_parser(), ["--frobnicate", "3"], capsys) == "unknown --frobnicate; see tool --help"
    assert _refusal(_parser(), ["-output_dir", "x", "--zz"], capsys) == (
        "unknown -output_dir (did you mean --output_dir?), --zz; see tool --help"
    )
    assert "required: --output_dir" in _refusal(_parser(), ["--count", "3"], capsys)


@pytest.mark.parametrize("typed", ["--cou", "--coun", "--output"])
def test_abbreviations_are_refused_though_only_one_flag_begins_so(capsys, typed):
    assert "did you mean --" in _refusal(_parser(), [typed, "3"], capsys)


@pytest.mark.parametrize("words", [["--help"], ["--frobnicate", "--help"], ["--N", "64", "-h"]])
def test_help_is_given_whatever_else_is_typed(capsys, words):
    with pytest.raises(SystemExit) as caught:
        _parser().parse_args(words)
    assert caught.value.code == 0
    assert "usage: tool" in capsys.readouterr().out


@pytest.mark.parametrize("number", ["-2.5", "-1e-3", "-inf"])
def test_a_negative_number_is_a_value_however_it_is_written(number):
    assert _parser().parse_args(["--output_dir", "o", "--low", number]).low == float(number)


def test_values_that_begin_with_a_dash_are_no_flags():
    found = _parser().parse_args(["--output-dir=--odd name", "--low", "-2.5", "--", "--frobnicate", "-x"])
    assert (found.output_dir, found.low, found.rest) == ("--odd name", -2.5, ["--frobnicate", "-x"])


@pytest.mark.spec("CM-1.1")
@pytest.mark.parametrize("name", PARSERS)
def test_a_dash_and_an_underscore_are_the_same_in_every_flag(name):
    """Whichever is typed, argparse is given the flag as the help spells it."""
    parser = PARSERS[name]()
    for flag in parser.flags():
        body = flag.removeprefix("--")
        for typed in (body.replace("-", "_"), body.replace("_", "-")):
            for word in (f"--{typed}", f"--{typed}=1"):
                assert parser._read([word]).words == [word.replace(f"--{typed}", flag)]


_known_distance = cache(edit_distance)


def _near_misses(flag):
    """One letter dropped, doubled, wrong, or two exchanged, at three places; no `-` at all; in capitals."""
    body = flag.removeprefix("--")
    if len(body) == 1:
        # Any other letter is as near.
        return
    for place in {1, len(body) // 2, len(body) - 1}:
        before, letter, after = body[:place], body[place], body[place + 1 :]
        yield from (before + after, before + 2 * letter + after, f"{before}q{after}")
        yield before[:-1] + letter + before[-1] + after
    yield body.replace("-", "").replace("_", "")
    yield body.upper()


@pytest.mark.parametrize("name", PARSERS)
def test_a_near_miss_of_a_flag_is_told_the_flag(name, monkeypatch):
    # Most flags are those of several commands.
    monkeypatch.setattr(_spelling, "edit_distance", _known_distance)
    parser = PARSERS[name]()
    known = {flag.removeprefix("--").replace("_", "-") for flag in parser.flags()}
    wrong = []
    for flag in parser.flags():
        for typed in _near_misses(flag):
            if typed.replace("_", "-") in known or parser.foreign.find(f"--{typed}") is not None:
                continue
            if (found := nearest(f"--{typed}", parser.flags())) != flag:
                # As near to another flag as to this one: both answers are right.
                tie = found is not None and _known_distance(typed, found[2:]) <= _known_distance(
                    typed, flag[2:]
                )
                wrong += [] if tie else [(typed, flag, found)]
    assert wrong == []


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ("", "abc", 3),
        ("abc", "abc", 0),
        ("acb", "abc", 1),
        ("ab", "abc", 1),
        ("abd", "abc", 1),
        ("ca", "abc", 3),
    ],
)
def test_the_distance_counts_dropped_inserted_wrong_and_exchanged_letters(first, second, distance):
    assert edit_distance(first, second) == distance
    assert edit_distance(second, first) == distance


def test_a_renamed_flag_is_mapped_and_warned_of_once(capsys):
    parser = _parser()
    found = parser.parse_args(["--output_dir", "o", "--turns", "many", "--turns=4"])
    assert found.count == 4
    assert found.warnings == ("--turns is PtychoPINN's spelling; use --count",)
    assert parser.parse_args(["--output_dir", "o", "--turns=many"]).count == 9
    _errors.run(parser, lambda arguments: 0, ["--output_dir", "o", "--turns", "2"])
    assert capsys.readouterr().err == "warning: --turns is PtychoPINN's spelling; use --count\n"


@pytest.mark.parametrize("words", [["--turns", "2", "--count=3"], ["--count", "3", "--turns=2"]])
def test_both_spellings_are_refused(capsys, words):
    assert _refusal(_parser(), ["--output_dir", "o", *words], capsys) == (
        "--count and --turns, PtychoPINN's spelling of it, are both given; drop --turns."
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--backend", "TensorFlow"],
        ["--backend=tensorflow"],
        ["--weight", "1.0"],
        ["--no-smooth"],
        ["--smooth=False"],
    ],
)
def test_what_is_settled_anyway_is_accepted_with_a_warning(words):
    found = _parser().parse_args([*words, "--output_dir", "o"])
    (warning,) = found.warnings
    assert warning.endswith("changes nothing here; leave it out")
    assert found.rest == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--backend", "pytorch"], "--backend is pytorch but can only be tensorflow: there is one."),
        (["--smooth"], "--smooth is true but can only be false: nothing is smoothed."),
        (["--no-smooth", "true"], "--no-smooth is true but can only be false: nothing is smoothed."),
        (["--N", "64"], "--N has no counterpart here: the file tells it."),
        (["--torch_workers=3"], "--torch_workers has no counterpart here: there is no PyTorch."),
        (["--N=6", "--zz"], "unknown --zz; --N has no counterpart here: the file tells it."),
    ],
)
def test_what_has_no_counterpart_is_answered_in_one_line(capsys, words, said):
    assert _refusal(_parser(), words, capsys) == said


# Every flag of its three commands that is known of; the value is one that its users pass.
THEIR_FLAGS = {
    "compare-models": """
        --pinn_dir=p --baseline_dir=b --test_data=t --output_dir=o --tike_recon_path=r --stitch-crop-size=20
        --pinn-chunk-size=8 --baseline-chunk-size=8 --pinn-predict-batch-size=32 --baseline-predict-batch-size=32
        --n-test-groups=9 --n-test-subsample=9 --test-subsample-seed=1 --n-test-images=9 --n-subsample=9
        --subsample-seed=1 --skip-registration --register-ptychi-only --phase-align-method=plane --fixed-canvas
        --frc-sigma=0 --ms-ssim-sigma=1 --p_min=10 --p_max=90 --pinn_phase_vmin=-1 --pinn_phase_vmax=1
        --baseline_phase_vmin=-1 --baseline_phase_vmax=1 --save-npz --no-save-npz --save-npz-aligned
        --no-save-npz-aligned --save-debug-images --baseline-debug-limit=3 --baseline-debug-dir=d --quiet --verbose
        --console-level=INFO""",
    "ptycho-reconstruct": """
        --model_path=m --test_data=t --test_data_file=t --output_dir=o --n_images=9 --n_groups=9 --n_subsample=9
        --subsample_seed=1 --config=c.yaml --phase_vmin=-1 --phase_vmax=1 --comparison_plot --debug --debug_dump=d
        --gridsize=1 --N=64 --neighbor_count=7 --backend=tensorflow --torch-accelerator=gpu --quiet --verbose
        --console-level=INFO""",
    "ptycho-train": """
        --train_data_file=t --test_data_file=t --output_dir=o --nepochs=50 --batch_size=16 --N=64 --gridsize=2
        --n_filters_scale=2 --model_type=pinn --amp_activation=sigmoid --object_big=True --probe_big=True
        --probe_mask=False --pad_object=True --probe_scale=4 --gaussian_smoothing_sigma=0.0 --mae_weight=0
        --nll_weight=1 --realspace_mae_weight=0 --realspace_weight=0 --nphotons=1e9 --n_images=9 --n_groups=9
        --n_subsample=9 --subsample_seed=1 --neighbor_count=7 --positions_provided=True --probe_trainable=False
        --intensity_scale_trainable=True --use_xla_translate --sequential_sampling --do_stitching --config=c.yaml
        --backend=tensorflow --torch-accelerator=gpu --torch-loss-mode=poisson --debug --quiet --verbose
        --console-level=INFO""",
}


@pytest.mark.spec("CM-1.8")
@pytest.mark.parametrize(
    ("name", "word"), [(name, word) for name, words in THEIR_FLAGS.items() for word in words.split()]
)
def test_every_flag_of_ptychopinn_is_taken_mapped_or_answered(capsys, name, word):
    parser = PARSERS[name]()
    flag = word.partition("=")[0]
    needed = [] if _is_needed(word) else NEEDED[name]
    try:
        found = parser._read([*needed, word])
    except SystemExit:
        said = capsys.readouterr().err
        assert said.startswith(f"{name}: error: {flag} ")
        assert said.endswith(".\n")
        assert "unknown" not in said
        return
    typed = found.words[len(needed) :]
    assert all(each.partition("=")[0] in parser.flags() for each in typed if each.startswith("--"))
    assert bool(found.warnings) == (typed == [] or typed[0].partition("=")[0] != _spelled(parser, flag))


def _is_needed(word):
    """Whether the flag, or the one that it is renamed to, is among those that every command needs."""
    return word.partition("=")[0].strip("-").endswith(("_dir", "_data", "_data_file", "_path", "_type"))


def _spelled(parser, flag):
    return next((own for own in parser.flags() if own.replace("_", "-") == flag.replace("_", "-")), None)


@pytest.mark.parametrize(
    ("name", "table"),
    [("compare-models", COMPARE), ("ptycho-reconstruct", RECONSTRUCT), ("ptycho-train", TRAIN)],
)
def test_every_entry_of_a_table_leads_to_a_flag_or_is_a_sentence(name, table):
    parser = PARSERS[name]()
    own = {flag.removeprefix("--").replace("_", "-") for flag in parser.flags()}
    assert own.isdisjoint(table.by_name)
    for flag, known in {**table.by_name, **table.by_prefix}.items():
        assert "_" not in flag
        if isinstance(known, Renamed):
            assert known.flag in parser.flags()
        else:
            assert known.answer
            assert not known.answer.endswith(".")


@pytest.mark.spec("CM-1.1")
@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.parametrize("word", ["caf\udce9", "--arm=caf\udce9=x", "\ud800"])
def test_what_is_not_utf_8_is_refused_at_the_door_of_every_command(capsys, name, word):
    said = _refusal(PARSERS[name](), [*NEEDED[name], word], capsys)
    assert said.startswith(f"argument {len(NEEDED[name]) + 1} is {word!a} but must be UTF-8 text;")


@pytest.mark.parametrize(
    ("name", "remedy"), [(b"caf\xe9", "rename the file or label"), ("café".encode(), "set PYTHONUTF8=1.")]
)
def test_the_remedy_depends_on_whether_the_bytes_or_the_locale_are_odd(capsys, name, remedy):
    """A locale of ASCII hands on every byte beyond it as a surrogate."""
    assert remedy in _refusal(_parser(), [name.decode("ascii", "surrogateescape")], capsys)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_bytes_that_are_not_utf_8_are_one_line_whatever_the_terminal(tmp_path, encoding):
    words = [sys.executable, "-m", "ptycho.cli.main", "simulate", os.fsencode(tmp_path) + b"/caf\xe9.npz"]
    run = subprocess.run(
        words, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}, check=False
    )
    assert run.returncode == 2
    assert run.stderr.startswith(b"ptycho simulate: error: argument 1 is '")
    assert run.stderr.count(b"\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_page_for_ptychopinn_s_users_has_every_entry_of_the_tables():
    page = (Path(__file__).parents[3] / "docs" / "coming-from-ptychopinn.md").read_text(encoding="utf-8")
    typed = {flag.replace("_", "-").rstrip("…") for flag in re.findall(r"--[\w…-]+", page)}
    lines = page.replace("_", "-").splitlines()
    for table in (COMPARE, RECONSTRUCT, TRAIN):
        assert {f"--{name}" for name in (*table.by_name, *table.by_prefix)} <= typed
        for name, known in table.by_name.items():
            if isinstance(known, Renamed):
                new = known.flag.replace("_", "-")
                assert any(f"`--{name}" in line and f"| `{new}" in line for line in lines)
