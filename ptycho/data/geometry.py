"""`ScanGeometry`: the lengths of a scan, which turn pixels into metres."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ptycho._checks import fields
from ptycho._checks.quantities import JOULE_PER_EV, PLANCK_TIMES_C_J_M


@dataclass(frozen=True, kw_only=True)
class ScanGeometry:
    """Where a scan was taken, in SI units; what is not known is None.

    Attributes
    ----------
    object_pixel_m : float
        Side of a pixel of the object, in metres.
    photon_energy_j : float, optional
        Energy of a photon, in joules; for electrons, of a photon of their wavelength.
    detector_distance_m : float, optional
        From the sample to the detector, in metres.
    detector_pixel_m : float, optional
        Side of a pixel of the frames, in metres, after cropping and binning.

    Raises
    ------
    SettingsError
        A value is not a finite number above 0.
    """

    object_pixel_m: float
    photon_energy_j: float | None = None
    detector_distance_m: float | None = None
    detector_pixel_m: float | None = None

    def __post_init__(self) -> None:
        """Check every length."""
        fields.checked(self, object_pixel_m=fields.number(self.object_pixel_m, "object_pixel_m", above=0))
        for name in ("photon_energy_j", "detector_distance_m", "detector_pixel_m"):
            value = getattr(self, name)
            if value is not None:
                fields.checked(self, **{name: fields.number(value, name, above=0)})

    @classmethod
    def of_far_field(
        cls,
        *,
        photon_energy_j: float,
        detector_distance_m: float,
        detector_pixel_m: float,
        patch_size: int,
    ) -> ScanGeometry:
        """Return the geometry of a far field: the object's pixel is wavelength · distance / (N · detector pixel).

        Parameters
        ----------
        photon_energy_j, detector_distance_m, detector_pixel_m : float
            As in the class.
        patch_size : int
            Side N of the frames in pixels.

        Returns
        -------
        ScanGeometry

        Raises
        ------
        SettingsError
            A value is not a finite number above 0.

        Examples
        --------
        >>> from ptycho.data import ScanGeometry
        >>> lengths = {"detector_distance_m": 2.0, "detector_pixel_m": 75e-6}
        >>> geometry = ScanGeometry.of_far_field(photon_energy_j=1.28e-15, **lengths, patch_size=64)
        >>> round(geometry.object_pixel_m * 1e9, 2)
        64.66
        """
        energy_j = fields.number(photon_energy_j, "photon_energy_j", above=0)
        distance_m = fields.number(detector_distance_m, "detector_distance_m", above=0)
        pixel_m = fields.number(detector_pixel_m, "detector_pixel_m", above=0)
        side_m = fields.whole_number(patch_size, "patch_size", at_least=1) * pixel_m
        return cls(
            object_pixel_m=PLANCK_TIMES_C_J_M / energy_j * distance_m / side_m,
            photon_energy_j=energy_j,
            detector_distance_m=distance_m,
            detector_pixel_m=pixel_m,
        )

    @property
    def wavelength_m(self) -> float | None:
        """Wavelength of the photons in metres."""
        return None if self.photon_energy_j is None else PLANCK_TIMES_C_J_M / self.photon_energy_j

    @property
    def photon_energy_ev(self) -> float | None:
        """Energy of a photon in electronvolts."""
        return None if self.photon_energy_j is None else self.photon_energy_j / JOULE_PER_EV


def lengths_of(geometry: ScanGeometry | None) -> dict[str, Any]:
    """Return the lengths of a geometry by their names; none if there is no geometry."""
    return {} if geometry is None else asdict(geometry)
