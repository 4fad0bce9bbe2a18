"""Depth policies: what `admit` may look at, asked by change and by enumeration."""
