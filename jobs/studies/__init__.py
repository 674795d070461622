"""Studies of what the networks do, with pictures."""
