"""edgebert: understanding text on a small device.

>>> import edgebert
>>> edgebert.infer("a gripping film").label
'positive'
"""

from edgebert.config import HashParams, ModelConfig
from edgebert.entities import Entity
from edgebert.errors import DataError, EdgebertError, MissingPackageError, ModelError
from edgebert.model import Model, Result, TruncationWarning, infer, load
from edgebert.version import __version__

__all__ = [
    "DataError",
    "EdgebertError",
    "Entity",
    "HashParams",
    "MissingPackageError",
    "Model",
    "ModelConfig",
    "ModelError",
    "Result",
    "TruncationWarning",
    "__version__",
    "infer",
    "load",
]
