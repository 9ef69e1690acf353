"""Lines of the packages that a test guards, each with a plausible mistake and the test files that must catch it.

The table of scripts/broken_lines.py. Every room has a line; one in which a mistake gives a plausible number has more.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Guarded:
    """One line and a mistake in it.

    Attributes
    ----------
    file : str
        From the root of the repository.
    line : str
        As it stands there, without its indentation.
    broken : str
        What stands there by mistake.
    tests : tuple of str
        Test files of which one must fail then, below ``tests/``.
    """

    file: str
    line: str
    broken: str
    tests: tuple[str, ...]


def _in(file: str, line: str, broken: str, *tests: str) -> Guarded:
    return Guarded(file, line, broken, tests)


LINES = (
    _in(
        "autobatch/_planner.py",
        "room = int(usable_bytes * fraction) - fixed  # bytes",
        "room = int(usable_bytes * fraction)  # bytes",
        "autobatch/test_planner.py",
    ),
    _in(
        "autobatch/_planner.py",
        "return number // step * step",
        "return (number - 1) // step * step",
        "autobatch/test_planner.py",
    ),
    _in(
        "autobatch/_driver.py",
        "self._task.commit(start, stop, result)",
        "pass",
        "autobatch/test_driver.py",
    ),
    _in(
        "autobatch/_driver.py",
        "self._has_tried_again = True",
        "self._raise_at_floor(start, stop)",
        "autobatch/test_driver.py",
    ),
    _in(
        "autobatch/_sizes.py",
        "self.size = min(self._fitted, self.size * 1.5)",
        "self.size = self.size * 1.5",
        "autobatch/test_sizes.py",
    ),
    _in(
        "autobatch/_cgroup.py",
        "left_bytes = limit_bytes - usage_bytes + min(cache_bytes, usage_bytes)",
        "left_bytes = limit_bytes - usage_bytes",
        "autobatch/test_host.py",
    ),
    _in(
        "autobatch/_memo.py",
        "return least * remembered_bytes <= usable_bytes <= most * remembered_bytes",
        "return usable_bytes <= most * remembered_bytes",
        "autobatch/test_memo.py",
    ),
    _in(
        "ptycho/errors.py",
        "class DataError(PtychoError, ValueError):",
        "class DataError(ValueError):",
        "ptycho/test_errors.py",
    ),
    _in(
        "ptycho/_error_wording.py",
        'errno.ENOSPC: "free some space or write elsewhere",',
        'errno.ENXIO: "free some space or write elsewhere",',
        "ptycho/test_errors.py",
    ),
    _in(
        "ptycho/tf_helper.py",
        "from ptycho.stitching import reassemble_position",
        "from ptycho.stitching import stitch_patches as reassemble_position",
        "ptycho/stitching/test_stitch.py",
    ),
    _in(
        "ptycho/training.py",
        "from ptycho.models.training import TrainingSettings as TrainingSettings",
        "from ptycho.models.training import TrainingResult as TrainingSettings",
        "test_public_names.py",
        "ptycho/test_settings.py",
    ),
    _in(
        "ptycho/__init__.py",
        '"ptycho.stitching": ("reassemble_position", "stitch_patches"),',
        '"ptycho.stitching": ("stitch_patches",),',
        "test_public_names.py",
        "test_imports.py",
    ),
    _in(
        "ptycho/_showing/html.py",
        'return Markup("–" if value is None else html.escape(str(value)))',
        'return Markup("–" if value is None else str(value))',
        "ptycho/test_showing.py",
    ),
    _in(
        "ptycho/_checks/fields.py",
        "or (above is not None and not found > above)",
        "or (above is not None and not found >= above)",
        "ptycho/_checks/test_fields.py",
    ),
    _in(
        "ptycho/_compiled/bands.py",
        "raise failures[0]",
        "pass",
        "ptycho/stitching/test_cpu.py",
    ),
    _in(
        "ptycho/_io/atomic.py",
        "(target / name).replace(stage / name)",
        "pass",
        "ptycho/_io/test_atomic.py",
    ),
    _in(
        "ptycho/_io/zipped.py",
        "if info.file_size > packing.most(stored):",
        "if info.file_size < 0:",
        "ptycho/_io/test_archive.py",
    ),
    _in(
        "ptycho/data/npz.py",
        "y, x = scan.positions_yx.T",
        "x, y = scan.positions_yx.T",
        "ptycho/data/test_npz.py",
    ),
    _in(
        "ptycho/data/scan.py",
        "return bright if bright.size <= max(1.0, _MOST_BRIGHT * lit.size) else bright[:0]",
        "return bright",
        "ptycho/data/test_failing_inputs.py",
    ),
    _in(
        "ptycho/data/geometry.py",
        "object_pixel_m=PLANCK_TIMES_C_J_M / energy_j * distance_m / side_m,",
        "object_pixel_m=PLANCK_TIMES_C_J_M / energy_j * distance_m / pixel_m,",
        "ptycho/data/test_geometry.py",
    ),
    _in(
        "ptycho/data/grouping.py",
        "return Groups(indices=indices, centres_yx=centres, relative_yx=centres[:, None] - members)",
        "return Groups(indices=indices, centres_yx=centres, relative_yx=members - centres[:, None])",
        "ptycho/data/test_grouping.py",
    ),
    _in(
        "ptycho/data/checks.py",
        "check_not_intensity(sample)",
        "pass",
        "ptycho/data/test_checks.py",
    ),
    _in(
        "ptycho/data/formats/tike.py",
        "positions_yx=corners_yx - corners_yx.min(axis=0) + intensity.shape[-1] / 2,",
        "positions_yx=corners_yx - corners_yx.min(axis=0),",
        "ptycho/data/test_tike.py",
    ),
    _in(
        "ptycho/data/formats/cxi.py",
        "return replace(parts, object_image=layers, origin_yx=centre - np.array(layers.shape) / 2 * pixel)",
        "return replace(parts, object_image=layers, origin_yx=centre - np.array(layers.shape) * pixel)",
        "ptycho/data/test_exporting.py",
        "ptycho/data/formats/test_cxi.py",
    ),
    _in(
        "ptycho/data/exporting/_cxi.py",
        "moves = np.pad(image.positions_yx_m[:, ::-1], ((0, 0), (0, 1)))",
        "moves = np.pad(image.positions_yx_m, ((0, 0), (0, 1)))",
        "ptycho/data/test_exporting.py",
    ),
    _in(
        "ptycho/data/importing/windows.py",
        "shift = (size - 1) // 2",
        "shift = 0",
        "ptycho/data/importing/test_importing.py",
    ),
    _in(
        "ptycho/diffraction/spline_object.py",
        "inner = 2 / 3 - distance**2 + distance**3 / 2",
        "inner = 2 / 3 - distance**2 + distance**3 / 3",
        "ptycho/diffraction/test_forward.py",
        "ptycho/data/test_simulation.py",
    ),
    _in(
        "ptycho/image/_phasor_peak.py",
        "first = -1j * np.array([m[1, 0], m[0, 1]])",
        "first = -1j * np.array([m[0, 1], m[1, 0]])",
        "ptycho/image/test_registration.py",
        "ptycho/image/test_phase.py",
    ),
    _in(
        "ptycho/image/registration.py",
        "ramp = PhaseRamp(overlay.ramp.offset - turned, overlay.ramp.slope_yx)",
        "ramp = PhaseRamp(overlay.ramp.offset + turned, overlay.ramp.slope_yx)",
        "ptycho/image/test_registration.py",
    ),
    _in(
        "ptycho/image/cropping.py",
        "right = np.where(covered, np.minimum(right, run_stop), width)",
        "right = np.where(covered, run_stop, width)",
        "ptycho/image/test_cropping.py",
    ),
    _in(
        "ptycho/evaluation/frc.py",
        "n_rings = side // 2 - 1  # those that lie wholly below Nyquist",
        "n_rings = side // 2  # those that lie wholly below Nyquist",
        "ptycho/evaluation/test_frc.py",
    ),
    _in(
        "ptycho/evaluation/misfit.py",
        "unexplained=(self._squares - self._noise) / (4 * self._energy),",
        "unexplained=self._squares / (4 * self._energy),",
        "ptycho/evaluation/test_misfit.py",
    ),
    _in(
        "ptycho/evaluation/metrics.py",
        "floor = images.true_phase.min()",
        "floor = images.phase.min()",
        "ptycho/evaluation/test_metrics.py",
    ),
    _in(
        "ptycho/stitching/_geometry.py",
        "return patch_size // 2 - crop_size // 2",
        "return (patch_size - crop_size) // 2",
        "ptycho/stitching/test_stitch.py",
    ),
    _in(
        "ptycho/stitching/_loops.py",
        "weight[j] = head[j] + tails[r + 1, j]",
        "weight[j] = head[j] + tails[r, j]",
        "ptycho/stitching/test_cpu.py",
        "ptycho/stitching/test_stitch.py",
    ),
    _in(
        "ptycho/stitching/_tensorflow.py",
        "after[axis], before[axis] = [0, 1], [1, 0]",
        "after[axis], before[axis] = [1, 0], [0, 1]",
        "ptycho/stitching/test_stitching_tensorflow.py",
    ),
    _in(
        "ptycho/stitching/_canvas_sums.py",
        "self.n_added += len(placement) - rejected.size",
        "self.n_added += len(placement)",
        "ptycho/stitching/test_canvas.py",
    ),
    _in(
        "ptycho/models/physics.py",
        "self._probes = (probes * signs / side).astype(np.complex64)",
        "self._probes = (probes / side).astype(np.complex64)",
        "ptycho/models/test_physics.py",
    ),
    _in(
        "ptycho/models/_course.py",
        "waited = 0 if waited >= patience else waited",
        "waited = waited",
        "ptycho/models/test_course.py",
    ),
    _in(
        "ptycho/models/_holding_out.py",
        "free = (nearest.reshape(len(centres), -1) >= patch_size).all(axis=1)",
        "free = (nearest.reshape(len(centres), -1) >= patch_size).any(axis=1)",
        "ptycho/models/test_holding_out.py",
    ),
    _in(
        "ptycho/models/legacy_bundle/_network.py",
        "mask[:, side // 4 : side - side // 4, side // 4 : side - side // 4] = 0",
        "mask[:, side // 4 : side // 2, side // 4 : side - side // 4] = 0",
        "ptycho/models/test_legacy_bundle.py",
    ),
    _in(
        "ptycho/models/own_network/_images.py",
        "return array[..., None] if axis is None else np.moveaxis(array, axis, -1)",
        "return array[..., None] if axis is None else array",
        "ptycho/models/test_own_network.py",
    ),
    _in(
        "ptycho/demo/__init__.py",
        "_TEST_SEED = 2026",
        "_TEST_SEED = 1",
        "ptycho/test_demo.py",
    ),
    _in(
        "ptycho/reconstruction/tree.py",
        "names = above + names[2 * len(above) :]",
        "names = names[2 * len(above) :] + above",
        "ptycho/reconstruction/test_shards.py",
    ),
    _in(
        "ptycho/reconstruction/checkpoint.py",
        'if description["version"] != _VERSION or description["run"] != run:',
        'if description["version"] != _VERSION:',
        "ptycho/reconstruction/test_checkpoint.py",
    ),
    _in(
        "ptycho/reconstruction/judging.py",
        "return np.flatnonzero(shares >= COVERED_LIGHT * light.sum())",
        "return np.flatnonzero(shares > 0)",
        "ptycho/reconstruction/test_judging.py",
    ),
    _in(
        "ptycho/reconstruction/_canvases.py",
        "positions_yx = self._layout.centres_yx[start : start + len(patches)]",
        "positions_yx = self._layout.centres_yx[: len(patches)]",
        "ptycho/reconstruction/test_reconstruct.py",
    ),
    _in(
        "ptycho/refinement/_loops.py",
        "weights_sum[y, x] = 0",
        "pass",
        "ptycho/refinement/test_refine.py",
    ),
    _in(
        "ptycho/refinement/checkpoint.py",
        'if description["run"] != self.run:',
        'if description["run"] == "":',
        "ptycho/refinement/test_sweep_checkpoint.py",
    ),
    _in(
        "ptycho/distributed/checking.py",
        'if facts["versions"].get(package) != version:',
        'if package not in facts["versions"]:',
        "ptycho/distributed/test_cluster.py",
    ),
    _in(
        "ptycho/orientation/turns.py",
        "turned = np.roll(turned[::-1], 1, axis=0) if self.number & 2 else turned",
        "turned = turned[::-1] if self.number & 2 else turned",
        "ptycho/orientation/test_turns.py",
    ),
    _in(
        "ptycho/comparison/_scoring.py",
        "mask=self.scored & result.aligned.covered,",
        "mask=result.aligned.covered,",
        "ptycho/comparison/test_compare.py",
    ),
    _in(
        "ptycho/report/tables.py",
        'return f"\'{text}" if _FORMULA.match(text) else text',
        "return text",
        "ptycho/report/test_tables.py",
    ),
    _in(
        "ptycho/report/page/_render.py",
        "return Markup(text.translate(_RISKY))",
        "return Markup(text)",
        "ptycho/report/page/test_page.py",
        "ptycho/report/page/test_study.py",
    ),
    _in(
        "ptycho/cli/_errors.py",
        "return FAILED if resources or full_disk else BAD_INPUT",
        "return FAILED if resources else BAD_INPUT",
        "ptycho/cli/test_command.py",
    ),
    _in(
        "ptycho/cli/_parser.py",
        'return [f"{flag}={values[0]}"]',
        "return [flag, values[0]]",
        "ptycho/cli/test_parser.py",
    ),
)
