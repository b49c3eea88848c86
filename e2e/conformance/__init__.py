"""Unmodified clients' own test suites, run against Troupe in the place of Apache's server."""
