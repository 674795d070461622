"""Symmetry of crystals: Wyckoff positions, and labels of structure types."""
