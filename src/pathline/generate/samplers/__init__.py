"""Samplers: ways from the start of a path to its end."""

from pathline.generate.samplers.adaptive import Adaptive
from pathline.generate.samplers.grids import Grid, Karras, UniformLogSNR, UniformTime
from pathline.generate.samplers.runge_kutta import RK4, Euler, Heun, Midpoint, RungeKutta
from pathline.generate.samplers.table import Sampler, Table, TableSampler, run_table, sample, trajectories

__all__ = [
    "RK4",
    "Adaptive",
    "Euler",
    "Grid",
    "Heun",
    "Karras",
    "Midpoint",
    "RungeKutta",
    "Sampler",
    "Table",
    "TableSampler",
    "UniformLogSNR",
    "UniformTime",
    "run_table",
    "sample",
    "trajectories",
]
