"""Building blocks: networks that more than one method uses."""

from pathline.nets.vector_field import BoundedField

__all__ = ["BoundedField"]
