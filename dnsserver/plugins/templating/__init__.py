"""Go's text/template, as much of it as a resource record needs: total, without definitions, and checked when parsed.

What is not here is refused by name when the Corefile is read, never met while a query waits.
"""
