"""Which materials are taken: deprecated ones and licences that exclude commercial use are asked for."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

COMMERCIAL = "BY-C"
NON_COMMERCIAL = "BY-NC"
"""The words of the Materials Project for CC BY 4.0 and CC BY-NC 4.0."""


@dataclass(frozen=True)
class LeftOut:
    """How many materials are not taken, by the first reason that applies."""

    deprecated: int = 0
    non_commercial: int = 0
    unlicensed: int = 0

    def __add__(self, other: "LeftOut") -> "LeftOut":
        """Sum of two counts."""
        return LeftOut(
            self.deprecated + other.deprecated,
            self.non_commercial + other.non_commercial,
            self.unlicensed + other.unlicensed,
        )

    def __str__(self) -> str:
        """Tell the reasons that apply, and how to take the materials nevertheless."""
        reasons = (
            (self.deprecated, "deprecated (--include-deprecated takes them)"),
            (self.non_commercial, "not for commercial use, CC BY-NC (--include-nc takes them)"),
            (self.unlicensed, "without a known licence (--include-nc takes them)"),
        )
        return ", ".join(f"{count:,} {reason}" for count, reason in reasons if count)


@dataclass(frozen=True)
class Selection:
    """Without ``include_nc``, materials under CC BY alone: not those under CC BY-NC or of unknown licence.

    A material that is not said to be current counts as deprecated, as it does for the project's own API.
    """

    include_nc: bool = False
    include_deprecated: bool = False

    def restricted(self, license: pa.ChunkedArray) -> NDArray[np.bool_]:  # noqa: A002
        """Which rows (B,) say that their licence excludes commercial use, and are not taken therefore."""
        return _flags(pc.fill_null(pc.equal(license, NON_COMMERCIAL), False)) & (not self.include_nc)

    def split(
        self,
        deprecated: pa.ChunkedArray,
        license: pa.ChunkedArray,  # noqa: A002
    ) -> tuple[NDArray[np.bool_], LeftOut]:
        """Which rows (B,) are taken, and the count of the others."""
        old = _flags(pc.fill_null(deprecated, True)) & (not self.include_deprecated)
        restricted = self.restricted(license) & ~old
        free = _flags(pc.fill_null(pc.equal(license, COMMERCIAL), False)) | self.include_nc
        unknown = ~free & ~old & ~restricted
        left_out = LeftOut(int(old.sum()), int(restricted.sum()), int(unknown.sum()))
        return free & ~old, left_out


def _flags(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(column.to_numpy(), dtype=bool)
