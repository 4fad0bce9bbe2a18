"""What `specref validate --init` writes: one adapter a level, which runs as it stands."""
