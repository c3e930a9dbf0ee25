"""Encoders of sentences as teachers, and a file that keeps their vectors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from tqdm.auto import tqdm
from transformers import AutoModel, AutoTokenizer

from edgebert.errors import DataError, EdgebertError, ModelError
from edgebert.train.bert import Output, mean_vector, predict
from edgebert.train.run import file_digest
from edgebert.train.teacher import HuggingFaceTeacher, read_pretrained

ASKED = 4096  # texts whose vectors are saved together
MAX_TOKENS = 128  # of a text that the teacher reads, whatever the student can: they share the file
MAGIC = b"edgebert vectors "  # what the file begins with


class SentenceTeacher(HuggingFaceTeacher):
    """Any encoder of Transformers; a text's vector is its tokens' mean, scaled to length 1.

    Folders of sentence-transformers may ask for the vector of [CLS] in the mean's place.
    """

    def __init__(self, path: Path) -> None:
        network, loaded = read_pretrained(path, AutoModel, output_loading_info=True)
        missing = [name for name in loaded["missing_keys"] if "pooler" not in name]
        if missing:
            raise ModelError(f"{path}: its weights are not whole: {sorted(missing)[0]} is missing")
        super().__init__(path, network, read_pretrained(path, AutoTokenizer))
        self.requires_grad_(False).eval()
        self.of_cls = _pools_cls(path)

    def forward(self, **batch: Any) -> Output:
        """Its ``pooled`` are the vectors."""
        hidden = super().forward(**batch).last_hidden_state
        if self.of_cls:
            pooled = functional.normalize(hidden[:, 0], dim=-1)
        else:
            pooled = mean_vector(hidden, batch["attention_mask"])
        return Output(pooled[:, :0], pooled)


def _pools_cls(path: Path) -> bool:
    """What sentence-transformers' configuration says, where the folder has one."""
    try:
        config = json.loads((path / "1_Pooling" / "config.json").read_bytes())
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}/1_Pooling/config.json: cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path}/1_Pooling/config.json: cannot be read: it is no JSON object")
    modes = [name for name, on in config.items() if name.startswith("pooling_mode_") and on is True]
    if modes not in (["pooling_mode_mean_tokens"], ["pooling_mode_cls_token"]):
        named = ", ".join(modes) or "nothing"
        raise ModelError(f"{path}: pools by {named}: a teacher's is mean or cls")
    return "cls" in modes[0]


def digest_of(teacher: SentenceTeacher, texts: Sequence[str]) -> str:
    """Of all that vectors depend on."""
    digest = hashlib.sha256(file_digest(teacher.path).encode())
    digest.update(repr((teacher.of_cls, MAX_TOKENS)).encode())
    for text in texts:
        digest.update(text.encode() + b"\n")
    return digest.hexdigest()


def vectors_of(
    teacher: SentenceTeacher,
    texts: Sequence[str],
    digest: str,
    path: Path,
    say: Callable[[str], None],
) -> np.ndarray:
    """The teacher's vectors, float16 [texts, its hidden_size], from a file and into it.

    They are written as they come: an interrupted run goes on behind the last ASKED texts.

    Args:
        teacher: on its device.
        texts: what it is asked.
        digest: of :func:`digest_of`.
        path: the file; one of another teacher or other texts is replaced.
        say: called with a line if much is left to do.

    Raises:
        DataError: the file is there and holds something else.
        EdgebertError: it cannot be written.
        ModelError: a vector is not finite.
    """
    width = teacher.config.hidden_size
    header = MAGIC + f"{digest}\n".encode()
    row_size, known = 2 * width, 0
    try:
        if path.exists():
            with path.open("rb") as file:
                found = file.read(len(header))
                if not found.startswith(MAGIC[: len(found)]):
                    raise DataError(f"{path} holds something else: name another file for vectors")
                if found == header:
                    rows = (path.stat().st_size - len(header)) // row_size
                    known = rows if rows == len(texts) else rows // ASKED * ASKED
        if known < len(texts):
            say(f"{teacher.path}: is asked for {len(texts) - known:,} vectors, kept in {path}")
        with path.open("r+b" if known else "wb") as file:
            file.write(header)
            file.truncate(len(header) + known * row_size)
            file.seek(0, 2)
            starts = range(known, len(texts), ASKED)
            for start in tqdm(starts, "teacher", leave=False, disable=None):
                inputs = teacher.encode(texts[start : start + ASKED], MAX_TOKENS)
                pooled = predict(teacher, inputs, teacher.pad).pooled
                assert pooled is not None
                if not pooled.isfinite().all():
                    raise ModelError(f"{teacher.path}: its vectors are not finite: it is damaged")
                file.write(pooled.to(torch.float16).numpy().tobytes())
                file.flush()
    except OSError as error:
        raise EdgebertError(f"cannot write {path}: {error.strerror or error}") from error
    return np.memmap(path, np.float16, "r", len(header), (len(texts), width))
