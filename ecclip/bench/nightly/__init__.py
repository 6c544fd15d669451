"""The parts of ``ecclip bench catalog``: nights through real stages, twins, and the quality of groups."""
