"""Real members under real faults, each in a network namespace of its own, and what became of their clients' histories."""
