"""Model families: their registry, and one file for each network."""
