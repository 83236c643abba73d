"""Inversion and calibration: speed, and where maps point."""
