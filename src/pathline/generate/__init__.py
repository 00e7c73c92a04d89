"""Generation: paths from noise or other data to data, models of them, and ways along them.

Five independent choices make a generative model: the *path*, what a model on it *predicts*, the *coupling* of both ends
in training, the *objective*, and the *sampler*. Any of them can be exchanged without touching the others. `Flow` puts
them together with defaults that work.
"""

from pathline.generate.charges import ChargeDenoiser, empirical_fields
from pathline.generate.classifier_features import ClassifierFeatures, fit_classifier_features
from pathline.generate.couplings import Coupling, Independent, MinibatchOT, Paired, Pairs
from pathline.generate.crossing import CrossingNoise, crossing_noise
from pathline.generate.denoiser import Denoiser
from pathline.generate.discrepancies import Discrepancy, Features, PseudoHuber, Squared
from pathline.generate.distillation import StepTimes, distill
from pathline.generate.evaluation import SampleEvaluation, evaluate_samples, evaluation_curve, split_samples
from pathline.generate.fields import Fields
from pathline.generate.flow import Flow
from pathline.generate.generator import Generator
from pathline.generate.girsanov import FieldErrors, field_errors
from pathline.generate.guidance import ClassifierFree, ClassifierGuided, guided, guided_by_classifier
from pathline.generate.kernel_velocity import KernelVelocity
from pathline.generate.laws import Gaussian, NoiseLaw, StudentT, align, noise_law
from pathline.generate.likelihood import log_density
from pathline.generate.mixtures import GaussianMixture, MixtureBridge, MixtureDenoiser, exact_fields
from pathline.generate.model_statistics import ModelStatistics, model_statistics
from pathline.generate.named_samplers import SAMPLERS, STATISTICAL, NamedSampler, sampler_named
from pathline.generate.objectives import Regression, Term, loss_terms, losses_by_time
from pathline.generate.pair_store import StoredPairs, store_pairs
from pathline.generate.paths import (
    AffinePath,
    CosineVariancePreserving,
    DiscreteVariancePreserving,
    EncodeDecode,
    Interpolant,
    Linear,
    Mirror,
    Path,
    Retimed,
    Time,
    Trigonometric,
    VarianceExploding,
    VariancePreserving,
)
from pathline.generate.predictions import KINDS, Kind, conversion
from pathline.generate.reflow import generate_pairs, invert_pairs, reflow, reflow_regression, transfer
from pathline.generate.robustness import Injected, quantise, robustness_sweep
from pathline.generate.samplers import (
    DDIM,
    RK4,
    Adaptive,
    ConstantDiffusion,
    Diffusion,
    DPMSolver,
    DPMSolverPP,
    EDMHeun,
    Euler,
    EulerMaruyama,
    Grid,
    Heun,
    Karras,
    Midpoint,
    NoiseAnchored,
    ReverseDiffusion,
    RungeKutta,
    Sampler,
    StochasticHeun,
    Table,
    TableSampler,
    UniformLogSNR,
    UniformTime,
    UniPC,
    VanishingDiffusion,
    ode_term,
    run_table,
    sample,
    sde_terms,
    trajectories,
)
from pathline.generate.samplers.dpm_solver_v3 import DPMSolverV3
from pathline.generate.straightness import intersection, nfe_curve, straightness, transport_cost
from pathline.generate.times import LogitNormal, LogNormalLevel, TimeSampler, Uniform, UShaped
from pathline.generate.weightings import EDM, Constant, Power, Weighting

METHODS: dict[str, type[Flow]] = {Flow.name: Flow}
"""Every method by name."""

__all__ = [
    "DDIM",
    "EDM",
    "KINDS",
    "METHODS",
    "RK4",
    "SAMPLERS",
    "STATISTICAL",
    "Adaptive",
    "AffinePath",
    "ChargeDenoiser",
    "ClassifierFeatures",
    "ClassifierFree",
    "ClassifierGuided",
    "Constant",
    "ConstantDiffusion",
    "CosineVariancePreserving",
    "Coupling",
    "CrossingNoise",
    "DPMSolver",
    "DPMSolverPP",
    "DPMSolverV3",
    "Denoiser",
    "Diffusion",
    "Discrepancy",
    "DiscreteVariancePreserving",
    "EDMHeun",
    "EncodeDecode",
    "Euler",
    "EulerMaruyama",
    "Features",
    "FieldErrors",
    "Fields",
    "Flow",
    "Gaussian",
    "GaussianMixture",
    "Generator",
    "Grid",
    "Heun",
    "Independent",
    "Injected",
    "Interpolant",
    "Karras",
    "KernelVelocity",
    "Kind",
    "Linear",
    "LogNormalLevel",
    "LogitNormal",
    "Midpoint",
    "MinibatchOT",
    "Mirror",
    "MixtureBridge",
    "MixtureDenoiser",
    "ModelStatistics",
    "NamedSampler",
    "NoiseAnchored",
    "NoiseLaw",
    "Paired",
    "Pairs",
    "Path",
    "Power",
    "PseudoHuber",
    "Regression",
    "Retimed",
    "ReverseDiffusion",
    "RungeKutta",
    "SampleEvaluation",
    "Sampler",
    "Squared",
    "StepTimes",
    "StochasticHeun",
    "StoredPairs",
    "StudentT",
    "Table",
    "TableSampler",
    "Term",
    "Time",
    "TimeSampler",
    "Trigonometric",
    "UShaped",
    "UniPC",
    "Uniform",
    "UniformLogSNR",
    "UniformTime",
    "VanishingDiffusion",
    "VarianceExploding",
    "VariancePreserving",
    "Weighting",
    "align",
    "conversion",
    "crossing_noise",
    "distill",
    "empirical_fields",
    "evaluate_samples",
    "evaluation_curve",
    "exact_fields",
    "field_errors",
    "fit_classifier_features",
    "generate_pairs",
    "guided",
    "guided_by_classifier",
    "intersection",
    "invert_pairs",
    "log_density",
    "loss_terms",
    "losses_by_time",
    "model_statistics",
    "nfe_curve",
    "noise_law",
    "ode_term",
    "quantise",
    "reflow",
    "reflow_regression",
    "robustness_sweep",
    "run_table",
    "sample",
    "sampler_named",
    "sde_terms",
    "split_samples",
    "store_pairs",
    "straightness",
    "trajectories",
    "transfer",
    "transport_cost",
]
