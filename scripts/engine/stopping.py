"""Ctrl-C and SIGTERM during a training: the update that is under way is finished and saved."""

import signal


class StopSignals:
    """Answers SIGINT and SIGTERM from now on; a second signal ends the process at once."""

    def __init__(self) -> None:
        self.received = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.note)

    def note(self, number: int, frame: object) -> None:
        """Remembers a signal. The second one does not wait for the update to end.

        Args:
            number: of the signal.
            frame: where the process was; not used.

        Raises:
            KeyboardInterrupt: at the second signal.
        """
        if self.received:
            raise KeyboardInterrupt
        self.received = True
