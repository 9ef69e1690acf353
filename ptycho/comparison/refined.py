"""`RefinedArm`: an image that the frames have improved, judged with what was improved along with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from autobatch import Progress
from ptycho.comparison.arms import Arm, ArmImage, ArmKind
from ptycho.data.scan import ScanData
from ptycho.image.cropping import object_window
from ptycho.reconstruction import InferenceSettings
from ptycho.refinement import RefinementRun


@dataclass(frozen=True, eq=False, kw_only=True)
class RefinedArm(Arm):
    """An image that `ptycho.refinement.refine` made of the frames of the scan.

    Attributes
    ----------
    run : RefinementRun
        The verdict holds its image against the frames with the probe and at the positions that it ended with.
    made_of : tuple of str
        The `assumptions` of the arm whose image it began with.
    """

    run: RefinementRun
    made_of: tuple[str, ...] = ()

    @property
    def kind(self) -> ArmKind:
        """A refined image."""
        return "refined"

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Those of the arm that it began with."""
        return self.made_of

    def check(self, scan: ScanData) -> None:
        """Do nothing: the image was made of the scan, and its place is known."""

    def plan(self, scan: ScanData, settings: InferenceSettings) -> None:
        """Return None: nothing is left to compute."""

    def make_image(self, scan: ScanData, settings: InferenceSettings, progress: Progress) -> ArmImage:
        """Return the image as the sweeps left it."""
        run = self.run
        # As large as a stitched image; PtychoPINN's convention takes what it is given for the whole.
        stitched = run.image.in_window(object_window(scan.positions_yx, settings.crop_size))
        return ArmImage(
            # The light on a pixel is no number of patches.
            image=replace(run.image, coverage=None),
            mean_centred=stitched.values,
            refinement=run,
            seconds={"reconstruct": run.seconds},
            probe=run.probe if run.settings.refine_probe else None,
        )
