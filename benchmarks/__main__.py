"""Runs every benchmark of this folder with its defaults."""

from benchmarks import hash as hash_embedding
from benchmarks import peers, startup, tokenizers

hash_embedding.main([])
print()
tokenizers.main([])
print()
peers.main([])
print()
startup.main()
