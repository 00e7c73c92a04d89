"""Training: the one loop, checkpoints that resume exactly, and the run directory."""

from pathline.train.fit import DEFAULT_OPTIMISER, Fitted, GradientUpdate, TrainState, fit, pick_seed
from pathline.train.history import read_history
from pathline.train.loop import NonFiniteError, run_updates
from pathline.train.rundir import free_run, load, open_run, read_config, save
from pathline.train.saving import load_model, save_model

__all__ = [
    "DEFAULT_OPTIMISER",
    "Fitted",
    "GradientUpdate",
    "NonFiniteError",
    "TrainState",
    "fit",
    "free_run",
    "load",
    "load_model",
    "open_run",
    "pick_seed",
    "read_config",
    "read_history",
    "run_updates",
    "save",
    "save_model",
]
