"""How to measure fairly: turns, clocks, speed-ups, and what this machine is."""
