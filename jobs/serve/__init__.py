"""`crysift serve`: a page and the structures of its store over HTTP, on this machine only and read only."""
