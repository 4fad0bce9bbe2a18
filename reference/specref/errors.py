"""The one error of this project that a user can mend. It needs nothing, so a command can refuse bad
input before it imports PyTorch.
"""


class SpecrefError(ValueError):
    """Something the user can mend; the message is one line and names the mend."""
