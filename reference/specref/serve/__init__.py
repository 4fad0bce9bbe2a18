"""Serving: many requests at once over a paged cache, each with the answer it would have alone."""

from .engine import ServingEngine
from .settings import ServingSettings

__all__ = ["ServingEngine", "ServingSettings"]
