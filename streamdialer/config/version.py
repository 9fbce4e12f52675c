"""The version of this program, for its package too: hatchling reads the line as it stands, without a type."""

__version__ = "0.1.0"
