"""Reports: figures, tables and text as one self-contained page, and the catalogue as a static gallery."""

from pathline.report.blocks import Badge, Block, Cell, Figure, Table, Text
from pathline.report.catalogue import reproduction_figures, write_reproduction_report
from pathline.report.drawing import draw_bytes, write_figures
from pathline.report.evaluation_figures import calibration_figure, forecast_at, origins_figure, skill_figure
from pathline.report.forecast_figures import forecast_figure
from pathline.report.forecast_report import write_forecast_report
from pathline.report.gallery import write_gallery
from pathline.report.generate_report import write_generate_report
from pathline.report.html import write_report
from pathline.report.sample_figures import curve_figure, loss_figure, samples_figure
from pathline.report.theme import PALETTES, Layout, Palette, Theme, themed

__all__ = [
    "PALETTES",
    "Badge",
    "Block",
    "Cell",
    "Figure",
    "Layout",
    "Palette",
    "Table",
    "Text",
    "Theme",
    "calibration_figure",
    "curve_figure",
    "draw_bytes",
    "forecast_at",
    "forecast_figure",
    "loss_figure",
    "origins_figure",
    "reproduction_figures",
    "samples_figure",
    "skill_figure",
    "themed",
    "write_figures",
    "write_forecast_report",
    "write_gallery",
    "write_generate_report",
    "write_report",
    "write_reproduction_report",
]
