"""How often drafted tokens are accepted, and how sure that figure is."""
