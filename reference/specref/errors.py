"""The one error of this project that a user can mend. It needs nothing, so a command can refuse bad
input before it imports PyTorch.
"""


class SpecrefError(ValueError):
    """Something the user can mend; the message is one line and names the mend."""


def shortened(value: object, most: int = 60) -> str:
    """A value as an error message names it: one line of at most `most` characters."""
    try:
        text = repr(value)
    except Exception as error:  # such as an integer of more digits than Python writes
        text = f"a {type(value).__name__} ({type(error).__name__})"
    text = text.encode("ascii", "backslashreplace").decode()
    return text if len(text) <= most else text[: most - 3] + "..."


def first_line(error: BaseException, most: int = 300) -> str:
    """What an error of unknown origin says, for a message: its type and its first line."""
    lines = str(error).strip().splitlines() or [""]
    text = f"{type(error).__name__}: {lines[0]}".rstrip(": ")
    return text if len(text) <= most else text[: most - 3] + "..."
