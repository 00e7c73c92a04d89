"""Shape and type annotations are checked at run time in every test; compilations are cached between runs."""

import ctypes
import gc
import os
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
CACHE = Path(__file__).parent.parent / ".cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

from jaxtyping import install_import_hook  # noqa: E402

install_import_hook("pathline", "beartype.beartype")

import jax  # noqa: E402
import pytest  # noqa: E402

# Compiled programs are never let go of their own accord: a worker that runs half of the tests would need 5 GB and more,
# and tens of thousands of the memory maps of which a process may have 65 530.
GROWTH = 1.5 * 2**30
RESIDENT = Path("/proc/self/statm")
after_clearing = None


def resident_memory() -> float:
    return float(RESIDENT.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if RESIDENT.exists() else 0.0


@pytest.fixture(autouse=True)
def compiled_programs_are_let_go():
    global after_clearing
    if after_clearing is None:
        after_clearing = resident_memory()
    yield
    if resident_memory() > after_clearing + GROWTH:
        jax.clear_caches()
        gc.collect()
        # glibc keeps what was freed; other C libraries have no such function and need none.
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
            trim(0)
        after_clearing = resident_memory()
