"""Names of AASIST's tensors in the official checkpoints, which the baseline of ASVspoof 5 shares with the paper's."""

from __future__ import annotations

BONAFIDE_OUTPUT = 1
"""Row of the official output layer that is the official score; the other speaks for spoof."""

_MODULES = {
    "norm": "first_bn",
    "spectral_position": "pos_S",
    "spectral_attention": "GAT_layer_S",
    "spectral_pool": "pool_S",
    "temporal_attention": "GAT_layer_T",
    "temporal_pool": "pool_T",
}
_BRANCH_MODULES = {
    "stack": "master{}",
    "first": "HtrgGAT_layer_ST{}1",
    "second": "HtrgGAT_layer_ST{}2",
    "spectral_pool": "pool_hS{}",
    "temporal_pool": "pool_hT{}",
}
_PARTS = {
    "norm1": "bn1",
    "norm2": "bn2",
    "shortcut": "conv_downsample",
    "edge": "att_proj",
    "edge_weight": "att_weight",
    "mixed": "proj_with_att",
    "own": "proj_without_att",
    "norm": "bn",
    "temporal": "proj_type1",
    "spectral": "proj_type2",
    "temporal_weight": "att_weight11",
    "spectral_weight": "att_weight22",
    "cross_weight": "att_weight12",
    "stack_edge": "att_projM",
    "stack_weight": "att_weightM",
    "stack_mixed": "proj_with_attM",
    "stack_own": "proj_without_attM",
    "score": "proj",
}


def official_name(name: str) -> str:
    """Official name of a tensor of a detector with AASIST, such as ``encoder.blocks.2.norm1.weight``."""
    owner, _, rest = name.partition(".")
    if owner == "head":
        return f"out_layer.{rest}"
    module, *parts = rest.split(".")
    if module == "blocks":
        official = f"encoder.{parts.pop(0)}.0"
    elif module == "branches":
        number = int(parts.pop(0)) + 1
        official = _BRANCH_MODULES[parts.pop(0)].format(number)
    else:
        official = _MODULES[module]
    return ".".join([official, *(_PARTS.get(part, part) for part in parts)])
