"""What a user did that cannot work, said in one sentence."""

from __future__ import annotations


class InputError(ValueError):
    """Malformed input: a file, a name or a command that says something impossible.

    `place` names where (file, table, row, cell); the message says what came and what was expected.
    The command line prints it on one line and exits with 2.
    """

    def __init__(self, message: str, place: str = ""):
        self.place = place
        super().__init__(f"{place}: {message}" if place else message)
