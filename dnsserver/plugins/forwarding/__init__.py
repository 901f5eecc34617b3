"""The parts of `forward`: what its block says, and what it counts."""
