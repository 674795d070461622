"""Atomistic structures of the literature, matched and compared with what is known of them."""
