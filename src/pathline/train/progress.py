"""A progress bar on a terminal; silence in a pipe."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class ProgressBar:
    """Steps done, rate, loss and time left.

    Arguments:
        name: what is being fitted.
        steps: in all.
        shown: `None` shows it when standard error is a terminal.
    """

    def __init__(self, name: str, steps: int, shown: bool | None):
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[rate]}"),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not (console.is_terminal if shown is None else shown),
        )
        self._task = self._bar.add_task(name, total=steps, rate="compiling", loss="…")

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def update(self, step: int, rate: float, loss: float) -> None:
        """Show that `step` steps are done at `rate` steps per second, with the newest `loss`."""
        self._bar.update(self._task, completed=step, rate=f"{rate:.3g} steps/s", loss=f"{loss:.4g}")
