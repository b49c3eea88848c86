"""Figures against their targets. Nothing here fails: machines are shared, and a figure is for reading."""
