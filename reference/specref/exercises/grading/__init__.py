"""How an answer is graded: by everything that it can emit, in fractions, without PyTorch."""
