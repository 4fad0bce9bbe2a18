"""What the commands do, once their arguments are read. This is where PyTorch is imported."""
