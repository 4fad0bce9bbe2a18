"""Serving: many requests at once over a paged cache, each with the answer it would have alone."""

from .engine import ServingEngine

__all__ = ["ServingEngine"]
