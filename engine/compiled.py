"""Compiling with numba, with a cache that notices every change of the sources."""

import os
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, cast

from numba import config, njit

P = ParamSpec("P")
T = TypeVar("T")

_SOURCES = Path(__file__).parent
_NUMBA: dict[str, Any] = vars(config)


def compiled(
    error_model: Literal["python", "numpy"] = "python",
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Compile a function that releases the GIL; machine code is cached between processes.

    numba looks for changes only in the file of the function itself, so that code inlined from another file
    would stay old after an update: here the cache's folder is named by all sources that are compiled.
    `error_model="numpy"` divides by zero without an exception, which loops need to become vector code.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        before, _NUMBA["CACHE_DIR"] = _NUMBA["CACHE_DIR"], str(_cache_folder())
        try:
            return cast("Callable[P, T]", njit(cache=True, nogil=True, error_model=error_model)(function))
        finally:
            _NUMBA["CACHE_DIR"] = before

    return decorate


@cache
def _cache_folder() -> Path:
    """A folder in NUMBA_CACHE_DIR; by default beside the package, or the user's if that cannot be written."""
    digest = blake2b(digest_size=8)
    compiled_from = ("*.py", "descriptors/**/*.py", "spm/*.py")
    for source in sorted(path for pattern in compiled_from for path in _SOURCES.glob(pattern)):
        digest.update(source.read_bytes())
    beside = _SOURCES / "__pycache__"
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crysift"
    writable = os.access(beside if beside.is_dir() else _SOURCES, os.W_OK)
    base = Path(_NUMBA["CACHE_DIR"] or (beside if writable else user))
    return base / f"kernels-{digest.hexdigest()}"
