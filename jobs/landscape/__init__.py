"""The map of a store: which structures belong together, and how they lie to one another."""
