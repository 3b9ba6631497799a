"""Models by architecture, config and weights: nothing of an upload names a module, and nothing of it is run.

`build` makes one of our own (`ARCHITECTURES`); `hub.build_hub` one of an installed library, from a literal table
too; `load_weights` fills either from safetensors, strictly.
"""

from pruning.architectures.config import Config, InputShape
from pruning.architectures.table import ARCHITECTURES, Architecture, build, example, read_config
from pruning.architectures.weights import load_tensors, load_weights

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Config",
    "InputShape",
    "build",
    "example",
    "load_tensors",
    "load_weights",
    "read_config",
]
