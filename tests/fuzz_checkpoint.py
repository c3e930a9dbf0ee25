"""Fuzzes the reader of checkpoints: whatever the bytes, it reads a model or raises ModelError.

    python -m tests.fuzz_checkpoint [libFuzzer's options] [folder of inputs]

The first byte of an input says which part of a good checkpoint the rest takes the place of, as a
zip's checksums let no chance mutation pass. Good parts are what it starts from. Needs atheris.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

try:
    import atheris
except ImportError:
    sys.exit("fuzzing Python needs a package: pip install atheris")

with atheris.instrument_imports(include=["edgebert", "zipfile", "json"]):
    from edgebert.errors import ModelError
    from edgebert.export.checkpoint import read_checkpoint
    from edgebert.export.ebm import ebm_bytes
    from edgebert.export.spec import ModelSpec

from tests.test_checkpoint import TINY, write_folder

FILES = ("config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json")
# All good parts run the same code: libFuzzer would keep the shortest and grow that slowly.
OPTIONS = ("-max_len=16384", "-timeout=20", "-keep_seed=1", "-len_control=0")


class Target:
    """A good checkpoint of each kind, of which one part at a time is replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archive = folder / "model.pt"
        with zipfile.ZipFile(TINY) as tiny:
            self.entries = {name: tiny.read(name) for name in tiny.namelist()}
        self.names = sorted(self.entries)
        self.good = write_folder(folder / "good", read_checkpoint(TINY))
        (self.good / "tokenizer_config.json").write_text('{"do_lower_case": true}')
        self.bad = folder / "bad"
        self.bad.mkdir()
        self.num_parts = len(self.parts())

    def parts(self) -> list[bytes]:
        """The good parts, in the order in which inputs number them."""
        files = [(self.good / name).read_bytes() for name in FILES]
        return [TINY.read_bytes(), *files, *(self.entries[name] for name in self.names)]

    def __call__(self, data: bytes) -> None:
        if not data:
            return
        part, content = data[0] % self.num_parts, data[1:]
        path = self._written(part, content)
        try:
            checkpoint = read_checkpoint(path)
            spec = ModelSpec.from_checkpoint(checkpoint)
        except ModelError as error:
            assert len(str(error).splitlines()) == 1, str(error)
            return
        assert all(np.isfinite(values).all() for values in checkpoint.state.values())
        ebm_bytes(spec)

    def _written(self, part: int, content: bytes) -> Path:
        if part == 0:
            self.archive.write_bytes(content)
            return self.archive
        if part <= len(FILES):
            shutil.copytree(self.good, self.bad, dirs_exist_ok=True)
            (self.bad / FILES[part - 1]).write_bytes(content)
            return self.bad
        with zipfile.ZipFile(self.archive, "w") as archive:
            changed = self.names[part - 1 - len(FILES)]
            for name, entry in self.entries.items():
                archive.writestr(name, content if name == changed else entry)
        return self.archive


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        target = Target(Path(name))
        seeds = Path(name, "seeds")
        seeds.mkdir()
        for number, part in enumerate(target.parts()):
            (seeds / str(number)).write_bytes(bytes([number]) + part)
        # libFuzzer adds what it finds to the first folder: those given come before the seeds.
        atheris.Setup([*sys.argv, *OPTIONS, str(seeds)], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
