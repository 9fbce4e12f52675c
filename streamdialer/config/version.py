"""The version of this program, for its package too."""

__version__ = "0.1.0"
