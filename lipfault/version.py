"""The version of the package, read by the build and by `lipfault.__version__`."""

__version__ = '0.2.0'
