"""A soak: the server under mixed load, with objects, watches and connections that change all the time; see `make soak`."""
