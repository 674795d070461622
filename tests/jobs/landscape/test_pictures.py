"""Pictures of maps: what is drawn where, in which colour, under which name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image

from engine.errors import CrysiftError
from engine.store import Store
from jobs.landscape import quantities
from jobs.landscape.map_drawing import draw_map
from jobs.landscape.marks import DIGIT, HEIGHT, Mark, moved_marks
from jobs.landscape.pictures import QUANTITIES, draw_maps
from jobs.landscape.quantities import BACKGROUND, COLOURS, OTHERS, Categories
from jobs.spm.maps.palette import CLUSTERS, distances, rgb
from tests.jobs.page.mapped_store import FAILED, expected, make_mapped_store

Doubles = NDArray[np.float64]
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [np.nan, np.nan]])


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_mapped_store(tmp_path_factory.mktemp("mapped"))


def _colour_near(path: Path, x: float, y: float) -> Doubles:
    """Colour in the middle of the point at (x, y) of a map whose corners are 0 and 1."""
    image = np.asarray(Image.open(path).convert("RGB"), np.float64) / 255.0
    side, left, low = 5.0 * 300, 0.1 * 300, len(image) - 0.05 * 300
    column = left + side * (x + 0.03) / 1.06
    row = low - side * (y + 0.03) / 1.06
    return np.asarray(image[round(row), round(column)])


def test_each_point_has_its_colour_at_its_place(tmp_path: Path) -> None:
    values = pa.chunked_array([["b", "a", "b", None, "a"]])
    found = quantities.of_texts("Kind", values)
    assert found.names == ("a", "b")
    draw_map(tmp_path / "map.png", CORNERS, found)
    for place, colour in zip(CORNERS[:4], (COLOURS[1], COLOURS[0], COLOURS[1], BACKGROUND), strict=True):
        np.testing.assert_allclose(_colour_near(tmp_path / "map.png", *place), rgb([colour])[0], atol=0.01)


def test_numbers_run_from_dark_to_light_and_missing_ones_are_grey(tmp_path: Path) -> None:
    found = quantities.numbers("Score", "eV", np.array([1.0, 2.0, 3.0, np.nan, 9.0]))
    draw_map(tmp_path / "map.png", CORNERS, found)
    lightness = [_colour_near(tmp_path / "map.png", *place).mean() for place in CORNERS[:3]]
    assert lightness[0] < lightness[1] < lightness[2] + 0.2
    np.testing.assert_allclose(_colour_near(tmp_path / "map.png", 1, 1), rgb([BACKGROUND])[0], atol=0.01)
    draw_map(tmp_path / "map.pdf", CORNERS, found)
    assert (tmp_path / "map.pdf").read_bytes().startswith(b"%PDF")


def test_the_scale_leaves_out_extremes_and_is_logarithmic_for_positive_values_only() -> None:
    values = np.append(np.arange(1.0, 1000.0), [1e9, -1e9])
    found = quantities.numbers("n", None, values)
    assert -1e4 < found.low < found.high < 1e4
    assert found.extends == "both"
    assert not quantities.numbers("n", None, np.arange(-1.0, 5.0), logarithmic=True).logarithmic
    assert quantities.numbers("n", None, np.full(3, 7.0)).extends == "neither"
    assert quantities.numbers("n", None, np.full(3, np.nan)).high == 1.0


def test_clusters_beyond_the_named_ones_share_a_grey_and_outliers_are_the_background() -> None:
    labels = [f"{number} · label" for number in range(25)]
    values = pa.chunked_array([[*range(25), -1, None]], pa.int32())
    found = quantities.of_clusters(values, labels)
    assert found.names == (*labels[:20], "5 smaller clusters")
    np.testing.assert_array_equal(found.codes, [*range(20), *[20] * 5, -1, -1])
    assert found.background == "outliers (4 %)"
    np.testing.assert_allclose(found.rgb()[[24, 25]], rgb([OTHERS, BACKGROUND]))


def test_prototypes_out_of_distribution_are_pale_and_rare_recognised_ones_are_named() -> None:
    labels = [f"p{number:02}" for number in range(40) for _ in range(100)] + ["RockSalt_NaCl"] * 3
    unknown = np.array([True] * 4000 + [False] * 3)
    found = quantities.of_prototypes(pa.chunked_array([labels]), unknown)
    assert found.names[0] == "rock salt (NaCl)"
    assert found.names[20] == "21 others"
    assert found.pale_name == "pale: out of distribution (100 %)"
    bright, pale = found.rgb()[-1], found.rgb()[0]
    np.testing.assert_allclose(bright, rgb([COLOURS[0]])[0])
    assert (pale > rgb([COLOURS[1]])[0]).all()


def test_colours_are_told_apart_whatever_the_colour_vision() -> None:
    for number in range(len(CLUSTERS), len(COLOURS)):
        before = rgb([*COLOURS[:number], BACKGROUND, OTHERS, "#ffffff", "#000000"])
        assert distances(rgb([COLOURS[number]]), before).min() > 0.07


def test_marks_stand_aside_from_points_and_from_one_another() -> None:
    places = np.random.default_rng(0).normal(size=(2000, 2)) * 12.0 + 150.0
    marks = [Mark(150.0, 150.0, "0"), Mark(152.0, 151.0, "10"), Mark(20.0, 20.0, "2"), Mark(0.0, 299.0, "3")]
    places = np.concatenate([places, [[0.0, 0.0], [300.0, 300.0]]])
    moved = moved_marks(marks, places, np.zeros(2), 1.0)
    assert [each.mark.text for each in moved] == ["0", "10", "2", "3"]
    assert (moved[2].right, moved[2].up) == (0.0, 0.0)
    centres = np.array([(each.mark.x + each.right, each.mark.y + each.up) for each in moved])
    widths = np.array([DIGIT * len(each.mark.text) + 2.0 for each in moved])
    for first in range(4):
        for second in range(first):
            apart = np.abs(centres[first] - centres[second])
            assert apart[0] >= (widths[first] + widths[second]) / 2 or apart[1] >= HEIGHT
    assert centres[3][0] >= widths[3] / 2


@pytest.mark.parametrize("text", ["$x^", "_hidden", "a\nb\u202ec\x00", "</text><script>", "x" * 10_000])
def test_any_text_can_stand_in_a_legend(text: str, tmp_path: Path) -> None:
    colours, codes = (COLOURS[0],), np.zeros(5, np.int64)
    found = Categories(text, (text,), colours, codes, "", np.zeros(5, np.bool_))
    draw_map(tmp_path / "map.svg", CORNERS, found, [Mark(0.5, 0.5, "0")])
    words = (tmp_path / "map.svg").read_text(encoding="utf-8")
    assert "<script" not in words
    assert "x" * 60 not in words
    assert words.count("</text>") == 3


def test_a_store_is_drawn_by_the_usual_quantities_and_by_any_column(mapped: Store, tmp_path: Path) -> None:
    show = [*QUANTITIES, "source", "odd \"'key"]
    files = draw_maps(mapped, mapped.latest("map"), tmp_path, show, ["svg"])
    assert [file.name for file in files] == [*(f"map-{name}.svg" for name in show[:-1]), "map-odd_key.svg"]
    placed = [row for row in expected(mapped) if not row.structure_id.endswith(FAILED)]
    words = files[0].read_text(encoding="utf-8")
    assert f"Clusters, {len(placed)} structures" in words
    share = sum(row.cluster < 0 for row in placed) / len(placed)
    assert f"outliers ({100 * share:.0f} %)" in words
    assert "<image" in words
    (again,) = draw_maps(mapped, mapped.latest("map"), tmp_path / "again", ["cluster"], ["svg"])
    assert again.read_bytes() == files[0].read_bytes()


def test_an_unknown_column_is_named(mapped: Store, tmp_path: Path) -> None:
    with pytest.raises(CrysiftError, match=r"mutual_informatoin.* did you mean mutual_information"):
        draw_maps(mapped, mapped.latest("map"), tmp_path, ["mutual_informatoin"])
