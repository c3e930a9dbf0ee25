"""Files that travel with the wheel: the BERT vocabulary and the default model."""
