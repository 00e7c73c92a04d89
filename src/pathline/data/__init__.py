"""What the verbs eat: data types with named axes, and the readers of users' files."""

from pathline.data.builtin_series import BUILTIN_SERIES, builtin_series
from pathline.data.read_series import SERIES_SUFFIXES, read_series
from pathline.data.series import Series
from pathline.data.standardise import Standardiser

__all__ = ["BUILTIN_SERIES", "SERIES_SUFFIXES", "Series", "Standardiser", "builtin_series", "read_series"]
