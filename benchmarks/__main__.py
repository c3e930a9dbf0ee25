"""Runs every benchmark of this folder with its defaults."""

from benchmarks import hash as hash_embedding

hash_embedding.main([])
