"""Measurements: speed beside a plain loop, acceptance with intervals, a server under load, and
whether the output has the target's distribution.
"""
