"""One setting for all tests: Hypothesis draws the same examples on every run, and torch uses one thread."""

import torch
from hypothesis import settings

settings.register_profile("house", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("house")
torch.set_num_threads(1)
