"""One claim, three forms, one name: written for people, exact for a machine to run, Coq for a
machine to check.
"""
