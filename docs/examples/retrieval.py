"""Finds the lines of a file that are nearest in meaning to a question.

python docs/examples/retrieval.py answers.txt "how do I get my money back" [-k 3] [-m MODEL]
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

import edgebert


def nearest(texts: np.ndarray, questions: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k texts nearest to each question, the nearest first.

    Args:
        texts: float32 [num_texts, hidden_size], rows of length 1, as Model.encode gives them.
        questions: float32 [num_questions, hidden_size], likewise.
        k: how many.

    Returns:
        Rows of ``texts`` and their cosines to the question, each [num_questions, k].
    """
    cosines = questions @ texts.T  # of vectors of length 1
    rows = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return rows, np.take_along_axis(cosines, rows, axis=1)


def main() -> None:
    """Read the command line; print each question, and below it cosines and lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="texts, one a line")
    parser.add_argument("questions", nargs="+", metavar="question")
    parser.add_argument("-k", type=int, default=3, help="lines to show (default: %(default)s)")
    parser.add_argument("-m", "--model", default="sentence", help="default: %(default)s")
    options = parser.parse_args()
    try:
        model = edgebert.load(options.model)
    except edgebert.EdgebertError as error:
        sys.exit(str(error))
    if model.config.task != "embedding":
        sys.exit(
            f"{options.model} gives no vectors to compare: take one that `edgebert models` lists"
        )
    with open(options.file, encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip()]
    found = nearest(model.encode(lines), model.encode(options.questions), options.k)
    for question, rows, cosines in zip(options.questions, *found, strict=True):
        print(question)
        for row, cosine in zip(rows, cosines, strict=True):
            print(f"  {cosine:.3f}  {lines[row]}")


if __name__ == "__main__":
    main()
