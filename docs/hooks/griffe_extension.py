"""Passes every docstring through `docstrings.py` before it is parsed."""

import sys
from pathlib import Path
from typing import Any

from griffe import Class, Extension, Function, Module

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from docs.hooks.docstrings import literal, tidy


class Tidy(Extension):
    def on_function(self, *, func: Function, **_: Any) -> None:
        if func.docstring:
            names = [parameter.name for parameter in func.parameters]
            func.docstring.value = literal(tidy(func.docstring.value, names))

    def on_class(self, *, cls: Class, **_: Any) -> None:
        if cls.docstring:
            init = cls.members.get("__init__")
            names = (
                [parameter.name for parameter in init.parameters]
                if isinstance(init, Function)
                else []
            )
            cls.docstring.value = literal(tidy(cls.docstring.value, names))

    def on_module(self, *, mod: Module, **_: Any) -> None:
        if mod.docstring:
            mod.docstring.value = literal(mod.docstring.value)
