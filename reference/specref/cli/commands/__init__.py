"""One module a command: what it is called, its arguments, and the checks that need no model.

No module here imports PyTorch, so that help and bad input are answered at once; the imports of a
command's work stand in its `_run`.
"""
