"""Maps: colours, planes and what is drawn where."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import label

from engine.errors import CrysiftError
from jobs.spm.maps import quantities
from jobs.spm.maps.drawing import draw_overview, draw_planes
from jobs.spm.maps.palette import NOT_CLASSIFIED, colour_of, distances, rgb
from jobs.spm.maps.planes import (
    Plane,
    bar_length,
    centers_along,
    flat_axis,
    limits,
    middle_planes,
    plane_at,
    planes_along,
)
from jobs.spm.maps.profile import draw_profile
from models.prototypes import prototypes
from tests.jobs.spm.fields import BCC, FCC, LABELS, field_of, grid_of

FOUR_GRAINS = (FCC, BCC, "hcp_Mg_A_hP2_194_c", "diam_C_A_cF8_227_a")


def region(path: Path, colour: str) -> NDArray[np.int64]:
    """First and last row, first and last column of the largest region of a colour, without the legend."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    regions, _ = label((np.abs(pixels - 255 * rgb([colour])[0]) < 1.5).all(axis=2))
    largest = np.bincount(regions[regions > 0]).argmax()
    rows, columns = np.nonzero(regions == largest)
    return np.array([rows.min(), rows.max(), columns.min(), columns.max()])


def test_no_two_classes_share_a_colour_and_those_of_crystals_differ_for_everyone() -> None:
    labels = [prototype.label for prototype in prototypes()]
    colours = [colour_of(label) for label in labels]
    assert len(set(colours)) == len(labels) == 108
    seen = rgb([*(colour_of(label) for label in FOUR_GRAINS), NOT_CLASSIFIED, quantities.OTHER])
    apart = distances(seen, seen) + np.eye(len(seen))
    assert apart.min() > 0.09
    assert colour_of("a class of another network") == colour_of("a class of another network")


def test_impaired_vision_brings_red_and_green_together_but_not_blue_and_yellow() -> None:
    red, green, blue, yellow = rgb(["#b05050", "#6a7f30", "#2f6db5", "#f0e442"])[:, None]
    assert distances(red, green)[0, 0] < 0.1
    assert distances(blue, yellow)[0, 0] > 0.4


@given(st.floats(0.01, 1e5))
def test_scale_bars_have_round_lengths_and_fit(width: float) -> None:
    length = bar_length(width)
    assert 0.119 * width < length <= 0.3 * width * (1 + 1e-9)
    assert f"{length:.0e}"[0] in "125"
    assert length == pytest.approx(float(f"{length:.0e}"))


def test_planes_cut_the_grid_where_they_say() -> None:
    grid = grid_of(4, 3, 2)
    values = np.arange(24).reshape(4, 3, 2)
    plane = Plane(grid, 1, 2)
    assert plane.axes == (0, 2)
    assert plane.position == grid.centers(np.array([[0, 2, 0]]))[0, 1]
    assert plane.extent == (-3.0, 5.0, 11.0, 19.0)
    np.testing.assert_array_equal(plane.image(values), values[:, 2, :].T)
    assert [cut.index for cut in planes_along(grid, 0, 2)] == [1, 3]
    assert [cut.index for cut in planes_along(grid, 2, 9)] == [0, 1]
    for index, position in enumerate(centers_along(grid, 1)):
        assert plane_at(grid, 1, position + 1.4) == Plane(grid, 1, index)
    with pytest.raises(CrysiftError, match=r"no plane at y = 50 Å: the boxes lie between 2\.5 and 11\.5 Å"):
        plane_at(grid, 1, 50.0)


def test_flat_grids_are_looked_at_from_the_flat_side() -> None:
    assert [flat_axis(grid_of(*counts)) for counts in ((3, 3, 3), (3, 3, 1), (1, 3, 3), (1, 1, 5))] == [
        2,
        2,
        0,
        1,
    ]
    assert [plane.normal for plane in middle_planes(grid_of(3, 1, 3))] == [1]
    assert [plane.index for plane in middle_planes(grid_of(3, 4, 5))] == [2, 2, 1]
    assert limits(grid_of(3, 3, 1), 2) == (10.0, 16.0)


def test_classes_are_drawn_at_their_side_of_the_map(tmp_path: Path) -> None:
    field = field_of(grid_of(6, 4, 1))
    field.prototype[0, :, -1] = -1
    field.prototype[0, 0] = -1
    path = tmp_path / "map.png"
    draw_planes(path, middle_planes(field.grid), quantities.classes(field))
    fcc, bcc = (region(path, colour_of(name)) for name in (FCC, BCC))
    box_width, box_height = (bcc[3] - bcc[2]) / 3, (bcc[1] - bcc[0]) / 3
    assert box_height / box_width == pytest.approx(1.5, rel=0.02)
    assert fcc[2] + 2 * box_width == pytest.approx(fcc[3], abs=3)
    assert fcc[3] + 1 == bcc[2]
    assert fcc[:2].tolist() == bcc[:2].tolist()
    pixels = np.asarray(Image.open(path).convert("RGB"))
    hatched = (pixels == np.round(255 * rgb([NOT_CLASSIFIED])[0])).all(axis=2)
    assert 0.5 < hatched[bcc[0] - int(box_height / 2), bcc[2] : bcc[3]].mean() < 0.95
    assert not hatched[bcc[1] + 10 : bcc[1] + 40, bcc[2] : bcc[3]].any()


def test_numbers_are_drawn_at_their_place_of_the_map(tmp_path: Path) -> None:
    field = field_of(grid_of(6, 4, 1))
    field.probability[:] = 0.0
    field.probability[0, 5, 0] = 1.0
    path = tmp_path / "map.png"
    draw_planes(path, middle_planes(field.grid), quantities.probability(field))
    low, high = region(path, "#440154"), region(path, "#fde725")
    assert (high[1], high[3]) == (low[1], low[3])  # the lower right corner of the map
    assert (high[3] - high[2]) / (low[3] - low[2]) == pytest.approx(1 / 6, rel=0.05)
    assert (high[1] - high[0]) / (low[1] - low[0]) == pytest.approx(1 / 4, rel=0.05)


def test_numbers_have_a_scale_with_their_unit_and_a_bar_in_angstrom(tmp_path: Path) -> None:
    field = field_of(grid_of(6, 5, 4))
    shown = [quantities.quantity(name)(field) for name in ("class", "probability", "mutual-information")]
    draw_overview(tmp_path / "map.svg", field.grid, shown)
    text = (tmp_path / "map.svg").read_text(encoding="utf-8")
    for words in ("mutual information (nat)", "fcc (Cu)", "bcc (W)", "2 Å", "z = 21.0 Å", "x = 4.0 Å"):
        assert words in text


def test_equal_results_give_equal_pictures(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        field = field_of(grid_of(5, 4, 1))
        for suffix in ("svg", "png", "pdf"):
            shown = [quantities.quantity(name)(field) for name in ("class", "entropy")]
            draw_overview(tmp_path / name / f"map.{suffix}", field.grid, shown)
    for suffix in ("svg", "png", "pdf"):
        first, second = ((tmp_path / name / f"map.{suffix}").read_bytes() for name in ("a", "b"))
        assert first == second


def test_rare_classes_share_one_entry_and_errors_have_their_own() -> None:
    field = field_of(grid_of(100, 10, 1), labels=(BCC, FCC))
    field.prototype[:] = 0
    field.prototype[0, :2, 0, 0] = [-1, 1]
    field.failed[0, 0, 0, 0] = True
    shown = quantities.classes(field)
    assert shown.names == ("bcc (W)", "another prototype", "failed")
    assert [shown.codes[0, x, 0, 0] for x in (0, 1, 2)] == [2, 1, 0]


def test_clusters_keep_their_colours_and_outliers_are_told_from_boxes_without_one() -> None:
    values = np.array([[[[0.0, 2.0, -1.0, np.nan]]]])
    shown = quantities.clusters(values)
    assert shown.names == ("cluster 0", "cluster 2", "in no cluster")
    assert shown.codes.ravel().tolist() == [0, 1, 2, -1]
    alone = quantities.clusters(np.array([[[[2.0]]]]))
    assert alone.colours[0] == shown.colours[1]


def test_quantities_are_named_by_prototype_too() -> None:
    field = field_of(grid_of(3, 3, 1))
    for name in ("fcc", "fcc (Cu)", FCC):
        shown = quantities.quantity(name)(field)
        assert shown.title == "probability of fcc (Cu)"
    with pytest.raises(CrysiftError, match="neither a quantity 'diam' nor"):
        quantities.quantity("diam")(field)


def test_a_rod_has_a_profile_of_all_its_boxes(tmp_path: Path) -> None:
    field = field_of(grid_of(1, 1, 9))
    draw_profile(tmp_path / "rod.svg", field)
    text = (tmp_path / "rod.svg").read_text(encoding="utf-8")
    for words in ("fcc (Cu)", "mutual information (nat)", "z (Å)", "not classified"):
        assert words in text
    with pytest.raises(ValueError, match="2 axes"):
        draw_profile(tmp_path / "rod.svg", field_of(grid_of(3, 1, 9)))


def test_a_structure_without_any_classified_box_is_drawn_too(tmp_path: Path) -> None:
    field = field_of(grid_of(4, 4, 1), labels=LABELS)
    field.prototype[:] = -1
    for values in (field.probability, field.mutual_information):
        values[:] = np.nan
    shown = [quantities.quantity(name)(field) for name in ("class", "probability", "mutual-information")]
    draw_overview(tmp_path / "map.svg", field.grid, shown)
    text = (tmp_path / "map.svg").read_text(encoding="utf-8")
    assert "not classified" in text
    assert "fcc" not in text
