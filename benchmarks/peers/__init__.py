"""This server beside NSD, Knot DNS and CoreDNS: the same zones and questions, one core for each server in its turn."""
