"""The part of `kubernetes` that is used here: the asyncio client's session and its configuration.

The package's own annotations reach every generated model, which costs minutes of type checking for nothing.
"""
