"""What the verbs eat: data types with named axes, and the readers of users' files."""

from pathline.data.builtin_samples import BUILTIN_SAMPLES, builtin_samples
from pathline.data.builtin_series import BUILTIN_SERIES, builtin_series
from pathline.data.fields import Fields
from pathline.data.graphs import Graphs
from pathline.data.labelled import Labelled
from pathline.data.read_fields import FIELDS_SUFFIXES, read_fields
from pathline.data.read_samples import SAMPLES_SUFFIXES, read_samples
from pathline.data.read_series import SERIES_SUFFIXES, read_series
from pathline.data.samples import Samples
from pathline.data.series import Series
from pathline.data.snapshots import Snapshots
from pathline.data.standardise import Standardiser

__all__ = [
    "BUILTIN_SAMPLES",
    "BUILTIN_SERIES",
    "FIELDS_SUFFIXES",
    "SAMPLES_SUFFIXES",
    "SERIES_SUFFIXES",
    "Fields",
    "Graphs",
    "Labelled",
    "Samples",
    "Series",
    "Snapshots",
    "Standardiser",
    "builtin_samples",
    "builtin_series",
    "read_fields",
    "read_samples",
    "read_series",
]
