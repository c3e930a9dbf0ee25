"""Writes the C library as an Arduino library, with an example that holds a model.

    python tools/make_arduino_library.py -m sentiment -o out

makes the folder out/edgebert and, for the IDE's "Add .ZIP Library", out/edgebert-VERSION.zip.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from edgebert.builtin import model_path  # noqa: E402
from edgebert.errors import EdgebertError  # noqa: E402
from edgebert.firmware.build import open_integer_model  # noqa: E402
from edgebert.version import __version__  # noqa: E402

CSRC = ROOT / "csrc"
BYTES_IN_A_LINE = 24


def model_header(model: Path) -> str:
    """The bytes of a model file as C++."""
    data = model.read_bytes()
    lines = [
        ",".join(map(str, data[i : i + BYTES_IN_A_LINE])) + ","
        for i in range(0, len(data), BYTES_IN_A_LINE)
    ]
    return "\n".join(
        [
            f"// {model.name}, written by make_arduino_library.py",
            "#include <edgebert.h>",
            "",
            "alignas(EB_ALIGNMENT) static const uint8_t model_data[] = {",
            *lines,
            "};",
            "",
        ]
    )


def make_library(model: Path, output: Path) -> Path:
    """Write the folder and its archive, in place of any that were there.

    Args:
        model: an .ebm file of integers, for the example.
        output: folder to write both to.

    Returns:
        The library's folder.

    Raises:
        ModelError: the model is damaged or not of integers.
    """
    open_integer_model(model)
    library = output / "edgebert"
    shutil.rmtree(library, ignore_errors=True)
    shutil.copytree(ROOT / "tools" / "arduino", library)
    shutil.copy(ROOT / "LICENSE", library)
    with open(library / "library.properties", "a", encoding="utf-8") as properties:
        properties.write(f"version={__version__}\n")

    # Arduino's compilers see src alone: the public header and the sources side by side.
    source = library / "src"
    (source / "kernels").mkdir()
    shutil.copy(CSRC / "include" / "edgebert.h", source)
    for path in [*CSRC.glob("*.[ch]"), *CSRC.glob("kernels/*.[ch]")]:
        text = path.read_text("utf-8")
        if path.suffix == ".c":
            text = f'#include "edgebert_settings.h"\n{text}'
        (source / path.relative_to(CSRC)).write_text(text, "utf-8")

    example = library / "examples" / "Classify"
    (example / "model_data.h").write_text(model_header(model), "utf-8")
    shutil.make_archive(f"{library}-{__version__}", "zip", output, library.name)
    return library


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    what = "an .ebm of integers, or a name of `edgebert models`"
    parser.add_argument("-m", "--model", required=True, help=what)
    parser.add_argument("-o", "--output", type=Path, default=Path("out"), help="folder to write to")
    options = parser.parse_args()
    try:
        print(make_library(model_path(options.model), options.output))
    except (EdgebertError, OSError) as error:
        sys.exit(f"make_arduino_library: {error}")


if __name__ == "__main__":
    main()
