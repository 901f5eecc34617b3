"""A soak: the server under mixed load, while objects, watches and connections change all the time; `make soak`."""
