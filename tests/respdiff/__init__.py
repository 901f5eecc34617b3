"""The same queries to this server and to Knot DNS or NSD on the same zones, compared field by field."""
