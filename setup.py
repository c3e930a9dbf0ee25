"""Only what pyproject.toml cannot say: what is built of C.

edgebert/_build.py describes the Python extension. The operators for other runtimes are a plain
shared library beside it, which edgebert/ort.py and edgebert/tflite.py name.
"""

from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class BuildExt(build_ext):
    """Gives libraries that are no Python modules the names that such libraries have."""

    def get_ext_filename(self, fullname):  # noqa: D102
        if fullname.rpartition(".")[2].startswith("lib"):
            return fullname.replace(".", "/") + ".so"
        return super().get_ext_filename(fullname)


operators = Extension(
    "edgebert.libedgebert_ops",
    sources=["csrc/hash.c", *sorted(glob("csrc/ports/*.c"))],
    depends=[*sorted(glob("csrc/**/*.h", recursive=True)), "csrc/CFLAGS"],
    include_dirs=["csrc/include", "csrc"],
    extra_compile_args=[*Path("csrc/CFLAGS").read_text().split(), "-fvisibility=hidden", "-g0"],
)

setup(
    cffi_modules=["edgebert/_build.py:ffibuilder"],
    ext_modules=[operators],
    cmdclass={"build_ext": BuildExt},
)
