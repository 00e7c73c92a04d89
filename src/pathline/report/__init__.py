"""Reports: figures, tables and text as one self-contained page, and the catalogue as a static gallery."""

from pathline.report.blocks import Badge, Block, Cell, Figure, Table, Text
from pathline.report.catalogue import reproduction_figures, write_reproduction_report
from pathline.report.drawing import draw_bytes, write_figures
from pathline.report.gallery import write_gallery
from pathline.report.html import write_report
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
    "draw_bytes",
    "reproduction_figures",
    "themed",
    "write_figures",
    "write_gallery",
    "write_report",
    "write_reproduction_report",
]
