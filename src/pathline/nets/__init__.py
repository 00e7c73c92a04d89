"""Building blocks: networks that more than one method uses."""

from pathline.nets.conditioning import ClassEmbedding, Conditioning
from pathline.nets.patch_transformer import PatchTransformer, default_patch
from pathline.nets.residual_mlp import ResidualMLP
from pathline.nets.time_embedding import FourierEmbedding
from pathline.nets.vector_field import BoundedField

__all__ = [
    "BoundedField",
    "ClassEmbedding",
    "Conditioning",
    "FourierEmbedding",
    "PatchTransformer",
    "ResidualMLP",
    "default_patch",
]
