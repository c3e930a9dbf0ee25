"""Everything edgebert raises on purpose. Each message is one line that says what to do."""


class EdgebertError(Exception):
    """Base of all errors that a user can cause; the CLI prints it and exits with 1."""


class UsageError(EdgebertError):
    """Options that do not go together, or not with these values; the CLI exits with 2."""


class ModelError(EdgebertError):
    """A model file or checkpoint is damaged, foreign, too new or not an edgebert model."""


class DataError(EdgebertError):
    """A data file (TSV, text) is missing or not of the expected form."""


class MissingPackageError(EdgebertError):
    """An optional package is not installed; the message names the extra to install."""
