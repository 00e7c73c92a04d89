"""Samplers: ways from the start of a path to its end."""

from pathline.generate.samplers.adaptive import Adaptive
from pathline.generate.samplers.ddim import DDIM
from pathline.generate.samplers.dpm_solver import DPMSolver, DPMSolverPP
from pathline.generate.samplers.edm_heun import EDMHeun
from pathline.generate.samplers.grids import Grid, Karras, UniformLogSNR, UniformTime
from pathline.generate.samplers.noise_anchored import NoiseAnchored
from pathline.generate.samplers.runge_kutta import RK4, Euler, Heun, Midpoint, RungeKutta
from pathline.generate.samplers.stochastic import (
    ConstantDiffusion,
    Diffusion,
    EulerMaruyama,
    ReverseDiffusion,
    StochasticHeun,
    VanishingDiffusion,
)
from pathline.generate.samplers.table import Sampler, Table, TableSampler, run_table, sample, trajectories
from pathline.generate.samplers.terms import ode_term, sde_terms
from pathline.generate.samplers.unipc import UniPC

__all__ = [
    "DDIM",
    "RK4",
    "Adaptive",
    "ConstantDiffusion",
    "DPMSolver",
    "DPMSolverPP",
    "Diffusion",
    "EDMHeun",
    "Euler",
    "EulerMaruyama",
    "Grid",
    "Heun",
    "Karras",
    "Midpoint",
    "NoiseAnchored",
    "ReverseDiffusion",
    "RungeKutta",
    "Sampler",
    "StochasticHeun",
    "Table",
    "TableSampler",
    "UniPC",
    "UniformLogSNR",
    "UniformTime",
    "VanishingDiffusion",
    "ode_term",
    "run_table",
    "sample",
    "sde_terms",
    "trajectories",
]
