"""Hugging Face's words and a vocabulary to hand them: what tests of tokens compare with."""

from __future__ import annotations

import re

from tokenizers import normalizers, pre_tokenizers

from edgebert.export.vocabulary import decompile_vocabulary
from edgebert.tokenizer import BERT_UNCASED, tokenizer_section

HEADER_SIZE = len(tokenizer_section("word", True))
SPECIALS = ["[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"]

NORMALIZERS = {
    lowercase: normalizers.BertNormalizer(lowercase=lowercase) for lowercase in (True, False)
}
SPLITTER = pre_tokenizers.BertPreTokenizer()


def uncased_pieces() -> list[str]:
    return decompile_vocabulary(BERT_UNCASED.read_bytes()[HEADER_SIZE:])


def words(text: str, lowercase: bool) -> list[str]:
    """What kind ``word`` must yield, from Hugging Face's normaliser and pre-tokenizer."""
    result = []
    for part in re.split("(" + "|".join(map(re.escape, SPECIALS)) + ")", text):
        if part in SPECIALS:
            result.append(part)
        else:
            found = SPLITTER.pre_tokenize_str(NORMALIZERS[lowercase].normalize_str(part))
            result.extend(word if len(word) <= 100 else "[UNK]" for word, _ in found)
    return result
