"""Many requests at once: the requests, the clients, and what they see."""
