"""The version of this program, for its package too."""

from typing import Final

__version__: Final = "0.1.0"
