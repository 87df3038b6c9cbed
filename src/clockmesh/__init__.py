"""clockmesh: GitHub Actions workflows on a handful of your own machines."""

__version__ = "0.1.0"
