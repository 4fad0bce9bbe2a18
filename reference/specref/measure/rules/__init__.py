"""Rules side by side on the same worlds, all by exact enumeration."""
