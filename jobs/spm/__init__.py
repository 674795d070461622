"""Strided pattern matching: one structure, box by box."""
