"""The gate in front of a model server in a container."""

__version__ = "0.1.0"
