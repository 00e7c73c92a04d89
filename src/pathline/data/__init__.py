"""What the verbs eat: data types with named axes, and the readers of users' files."""

from pathline.data.series import Series
from pathline.data.standardise import Standardiser

__all__ = ["Series", "Standardiser"]
