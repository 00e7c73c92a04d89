"""Training: the one loop, checkpoints that resume exactly, and the run directory."""

from pathline.train.rundir import free_run, load, open_run, read_config, save
from pathline.train.saving import load_model, save_model

__all__ = ["free_run", "load", "load_model", "open_run", "read_config", "save", "save_model"]
