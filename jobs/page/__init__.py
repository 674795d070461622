"""The page: a store's map, results and structures in one HTML file that needs no network."""
