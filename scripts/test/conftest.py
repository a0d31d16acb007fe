import os
import pathlib
import sys

import pytest
from hypothesis import settings

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

# The same examples each time, so that a failure is one of the change at hand; no files in the tree
# (Hypothesis caches its table of Unicode where it can write: not below a device).
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", os.devnull)
settings.register_profile("threadlab", derandomize=True, deadline=None, database=None)
settings.load_profile("threadlab")


@pytest.fixture(name="store")
def _store(tmp_path):
    """An empty history of results."""
    import history_store  # by the path above

    return history_store.Store(tmp_path / "history")
