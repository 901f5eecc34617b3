"""Which records do these objects publish? Pure functions, one module a rule; no I/O, no clock, no log."""
