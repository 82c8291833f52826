"""The package that reads and writes Parquet, imported where it is used."""

from typing import Any


def import_parquet() -> Any:
    """Import ``pyarrow.parquet``.

    Raises:
        ImportError: If it is not installed, with the command that installs it.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            'pyarrow is not installed; it comes with: pip install "mmvmlp[storage]"'
        ) from error
    return pyarrow.parquet
