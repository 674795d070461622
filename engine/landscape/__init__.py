"""Maps of many vectors at once: which belong together, and how they lie to one another.

One interface for two implementations: RAPIDS cuML where it is installed and there is a GPU, hdbscan and
umap-learn elsewhere.
"""
