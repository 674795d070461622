"""Networks, Monte-Carlo dropout, out-of-distribution scores, their training, and the weights that ship."""
