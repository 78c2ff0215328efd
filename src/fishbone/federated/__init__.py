"""Rounds over horizontal and vertical devices: HoVeFL and its baselines."""
