"""Label selectors, as the API server reads them: checked before a watch is asked for with one; no I/O.

Kubernetes API, "Labels and Selectors": comma-separated requirements `key`, `!key`, `key=value`, `key==value`,
`key!=value`, `key in (a,b)`, `key notin (a,b)`, and `key>1`, `key<1`.
"""

import re

_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_PREFIX = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)*"
_KEY = rf"(?:{_PREFIX}/)?{_NAME}"
_VALUE = rf"(?:{_NAME})?"
_SET = rf"\(\s*{_VALUE}(?:\s*,\s*{_VALUE})*\s*\)"
_REQUIREMENT = re.compile(
    rf"\s*(?:!\s*{_KEY}|{_KEY}(?:\s*(?:==|=|!=)\s*{_VALUE}|\s+(?:in|notin)\s*{_SET}|\s*[<>]\s*-?[0-9]+)?)\s*"
)


def check_selector(text: str) -> None:
    """Raise `ValueError`, naming the place, for a text that is no label selector."""
    position = 0
    while True:
        match = _REQUIREMENT.match(text, position)
        if match is None or (match.end() < len(text) and text[match.end()] != ","):
            at = match.end() if match else position
            raise ValueError(f"not a label selector at '{text[at : at + 40].strip()}', expecting such as app=web,!old")
        if match.end() == len(text):
            return
        position = match.end() + 1
