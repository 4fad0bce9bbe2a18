"""How fast speculative decoding is here: the speed model, the clocks, and runs side by side."""
