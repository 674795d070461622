"""`crysift train`: train a network from the prototype table."""
