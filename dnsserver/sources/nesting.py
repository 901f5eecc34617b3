"""JSON that is nested too deeply for the parser: cut down to what any reader of ours could want; no I/O.

The API server takes ten thousand levels, the parser a thousand, and nobody's object may keep the others from being
read: a list is one document.
"""

import re

DEPTH = 200  # levels that are kept; what we read lies within ten

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def prune(body: bytes) -> bytes:
    """Return JSON with `null` in place of everything below `DEPTH` levels; what is no JSON stays none."""
    kept, level, start = [], 0, 0
    for match in _TOKEN.finditer(body):
        token = match[0]
        if token in (b"[", b"{"):
            level += 1
            if level == DEPTH + 1:
                kept.append(body[start : match.start()])
                start = len(body)
        elif token in (b"]", b"}"):
            if level == DEPTH + 1:
                kept.append(b"null")
                start = match.end()
            level -= 1
    kept.append(body[start:])
    return b"".join(kept)
