"""Only what pyproject.toml cannot say: the C extension is described in edgebert/_build.py."""

from setuptools import setup

setup(cffi_modules=["edgebert/_build.py:ffibuilder"])
