"""What the progress bars tell."""

from engine.execution import PageDone
from jobs.console import Console
from jobs.progress import INGEST, ProgressBars


def test_the_rate_of_an_ingest_counts_the_time_of_its_first_page() -> None:
    with ProgressBars(Console(quiet=True)) as bars:
        bars(PageDone("files", "a to b", rows=90, rejected=10, skipped=False, seconds=50.0))
        (task,) = bars._bars.tasks
        assert task.description == INGEST
        assert task.completed == 100
        assert task.elapsed is not None
        assert task.elapsed >= 50.0
