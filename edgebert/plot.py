"""Draws what ``edgebert bench`` measured, and how pretraining went."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgebert.bench import INPUTS
from edgebert.errors import MissingPackageError
from edgebert.files import write_atomically

STYLES = {"tokens": "-o", "text": ":o"}  # of the lines, by what goes in


def need_matplotlib() -> None:
    """Raise MissingPackageError where it is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "plots need the package matplotlib: pip install 'edgebert[bench]'"
        ) from error


def write_plot(document: Mapping[str, Any], path: Path) -> None:
    """Write an SVG: latency against tokens, and size against accuracy where that was measured."""
    need_matplotlib()
    from matplotlib.figure import Figure

    files = document["files"]
    scored = all("metrics" in file for file in files)
    figure = Figure(figsize=(10 if scored else 6, 4.5), layout="constrained")
    axes = figure.subplots(1, 1 + scored, squeeze=False)[0]
    _latency(axes[0], document)
    if scored:
        _accuracy(axes[1], files)
    _write_svg(figure, path)


def write_loss_plot(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write an SVG: the loss of pretraining and on held-out lines, against steps."""
    need_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    steps = [evaluation["step"] for evaluation in history]
    for key, label, style in (("loss", "training", "-o"), ("dev_loss", "held-out lines", ":o")):
        axes.plot(steps, [evaluation[key] for evaluation in history], style, label=label)
    axes.grid(True, alpha=0.3)
    axes.set_xlabel("steps")
    axes.set_ylabel("cross-entropy of hidden tokens, nats")
    axes.legend(fontsize="x-small")
    _write_svg(figure, path)


def write_difference_plot(
    points: Sequence[tuple[str, float, float]], path: Path, metric: str
) -> None:
    """Write an SVG: a line for each name, how much better or worse than what stands at 0.

    Args:
        points: name, difference and its standard error; NaN where that is not known.
        path: the .svg to write.
        metric: what the differences are of.
    """
    need_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.6 + 0.3 * len(points)), layout="constrained")
    axes = figure.subplots()
    names, values, errors = zip(*sorted(points, key=lambda point: point[1]), strict=True)
    axes.axvline(0, color="gray", linewidth=1)
    axes.errorbar(values, names, xerr=errors, fmt="o", capsize=3)
    axes.grid(True, axis="x", alpha=0.3)
    axes.set_xlabel(metric)
    _write_svg(figure, path)


def _write_svg(figure: Any, path: Path) -> None:
    from matplotlib import rc_context

    image = io.BytesIO()
    # Text stays text, and the same figures give the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "edgebert"}):
        figure.savefig(image, format="svg", metadata={"Date": None})
    write_atomically(path, image.getvalue())


def _name(file: Mapping[str, Any]) -> str:
    # matplotlib takes text between dollar signs for mathematics
    return f"{Path(file['file']).name} ({file['engine']})".replace("$", r"\$")


def _latency(axes: Any, document: Mapping[str, Any]) -> None:
    for i, file in enumerate(document["files"]):
        for name, style in STYLES.items():
            points = sorted(
                (result["tokens"], result["us"]["p50"])
                for result in file["results"]
                if result["input"] == name
            )
            label = f"{_name(file)}, {INPUTS[name]}"
            axes.plot(*zip(*points, strict=True), style, color=f"C{i}", label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(True, alpha=0.3)
    axes.set_xlabel("tokens")
    axes.set_ylabel("µs, median")
    calls = "1 text" if document["batch"] == 1 else f"{document['batch']} texts"
    axes.set_title(f"latency of {calls}, {document['threads']} thread(s)", fontsize="medium")
    axes.legend(fontsize="x-small")


def _accuracy(axes: Any, files: list[Mapping[str, Any]]) -> None:
    metric = next(iter(files[0]["metrics"]))
    for i, file in enumerate(files):
        point = file["bytes"] / 1000, file["metrics"][metric]
        axes.plot(*point, "o", color=f"C{i}")
        axes.annotate(
            _name(file), point, (0, 6), textcoords="offset points", ha="center", fontsize="x-small"
        )
    axes.margins(0.25)
    axes.grid(True, alpha=0.3)
    axes.set_xlabel("size of the file, kB")
    axes.set_ylabel(metric)
    axes.set_title("size and accuracy", fontsize="medium")
