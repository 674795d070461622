"""Jobs on a Ray cluster: what travels there, who may ask, and what comes back."""
