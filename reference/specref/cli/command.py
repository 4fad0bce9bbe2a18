"""What one command is."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command of `specref`.

    summary: its line in `specref --help`. description and example: what `specref NAME --help` says
    before and after the arguments. add: declares the arguments. run: does the work and returns the
    exit code; imports of PyTorch belong inside it.
    """

    name: str
    summary: str
    description: str
    example: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
