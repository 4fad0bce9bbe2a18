"""One verification step: batches of rows that differ, what they are asked in, and how fast."""
