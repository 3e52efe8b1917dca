"""Logger of `metrics.csv` that names the file where it cannot be written."""

from pathlib import Path

from lightning.pytorch.loggers import CSVLogger

from lipfault.errors import LipfaultError
from lipfault.runs.layout import RunFolder


class MetricsLogger(CSVLogger):
    """Write the logged values of a fit to `metrics.csv` of its run folder.

    Args:
        run: The run folder.
    """

    def __init__(self, run: Path) -> None:
        """Keep the folder."""
        super().__init__(run, name='', version='')
        self._file = RunFolder(run).history

    def save(self) -> None:
        """Append the values logged since the last save.

        Raises:
            LipfaultError: If the system refuses to write.
        """
        try:
            super().save()
        except OSError as error:
            raise LipfaultError(f'cannot write {self._file}: {error.strerror or error}') from error
