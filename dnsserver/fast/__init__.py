"""Answers that are ready: what follows the question of each, rendered once and sent as often as it is asked for."""
