"""Runs every benchmark of this folder with its defaults."""

from benchmarks import gemm, peers, startup, tokenizers
from benchmarks import hash as hash_embedding

hash_embedding.main([])
print()
gemm.main()
print()
tokenizers.main([])
print()
peers.main([])
print()
startup.main()
