"""Shape and type annotations are checked at run time in every test; compilations are cached between runs."""

import os
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
CACHE = Path(__file__).parent.parent / ".cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

from jaxtyping import install_import_hook  # noqa: E402

install_import_hook("pathline", "beartype.beartype")
