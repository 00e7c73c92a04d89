"""Ctrl-C without damage. Python lets it in anywhere, also in the middle of a compilation or of a file."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

Handler = Callable[[int, FrameType | None], object]


class Interrupts:
    """Within this context the first Ctrl-C is kept until `pass_on` is called; the second comes through at once."""

    def __init__(self) -> None:
        self._handler = _handler()
        self._asked = False

    def __enter__(self) -> "Interrupts":
        if self._handler:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._handler:
            signal.signal(signal.SIGINT, self._handler)
        if error is None:
            self.pass_on()

    def pass_on(self) -> None:
        """Let a Ctrl-C that has come take effect: here nothing is torn."""
        if self._asked and self._handler:
            self._asked = False
            self._handler(signal.SIGINT, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked and self._handler:
            self._handler(number, frame)
        self._asked = True


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Every Ctrl-C waits until the block is done: a checkpoint is not left half written, and one that is half read is
    not taken for a damaged one."""
    handler = _handler()
    if handler is None:
        yield
        return
    caught: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: caught.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        for one in caught:
            handler(*one)


def _handler() -> Handler | None:
    """What Ctrl-C does now; `None` where it does nothing in Python, or reaches another thread."""
    handler = signal.getsignal(signal.SIGINT)
    return handler if threading.current_thread() is threading.main_thread() and callable(handler) else None
