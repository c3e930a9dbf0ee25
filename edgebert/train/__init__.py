"""Training; the only part of edgebert that imports torch (``edgebert[train]``)."""
