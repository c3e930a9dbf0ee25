"""Files that travel with the wheel: vocabulary, models and their cards, texts to calibrate on."""
