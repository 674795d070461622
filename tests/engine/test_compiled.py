import os
import subprocess
import sys
from pathlib import Path

COUNT = """
from engine import compiled
folder = compiled._cache_folder()
import numpy as np
from engine.descriptors.scaling import typical_distance
typical_distance(np.array([1.0, 2.0]))
print(folder.parent, len(list(folder.rglob("*.nbi"))))
"""


def test_machine_code_is_kept_under_a_name_that_changes_with_the_sources(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", COUNT], env=environment, capture_output=True, text=True, check=True
    )
    base, count = ended.stdout.split()
    assert base == str(tmp_path)
    assert int(count) >= 1
    [folder] = tmp_path.iterdir()
    assert folder.name.startswith("kernels-")
