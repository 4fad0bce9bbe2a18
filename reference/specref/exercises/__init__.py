"""Exercises of the course, one file each; `grading` says exactly what is wrong with an answer."""
