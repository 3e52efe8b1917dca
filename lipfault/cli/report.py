"""`lipfault report`: draw figures and page of a run."""

from pathlib import Path

from rich.console import Console

from lipfault.report.html import write_report


def report(run: str) -> None:
    """Draw the figures and the `report.html` of a run again, from the files in its folder.

    Args:
        run: Run folder, with `metrics.json`, `metrics.csv` or both.

    Raises:
        LipfaultError: If the folder holds no metrics or a file in it is damaged.
    """
    Console(markup=False).print(f'report: {write_report(Path(run))}', soft_wrap=True)
