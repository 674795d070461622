"""Studies of what the ARISE network makes of series of crystals: tables, pictures and checks."""
