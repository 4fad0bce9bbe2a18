"""What is tried on purpose to break the project, area by area: `make torture`."""
