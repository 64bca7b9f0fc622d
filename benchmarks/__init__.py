"""Measurements of speed and accuracy; each script prints what it ran on."""
