from pathlib import Path

import pytest

from engine.store import Store
from jobs.page.pack import ReportSettings, write_report
from tests.jobs.page.mapped_store import TITLE, make_mapped_store


@pytest.fixture(scope="session")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of some 250 crystals with a map."""
    return make_mapped_store(tmp_path_factory.mktemp("mapped"))


@pytest.fixture(scope="session")
def page_file(mapped: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page, with further columns."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    columns = ("gap", "odd \"'key", "predictions_arise.predictive_entropy")
    write_report(mapped, path, ReportSettings(columns=columns, title=TITLE))
    return path
