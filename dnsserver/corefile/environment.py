"""Environment references inside tokens; no I/O: the environment is an argument."""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\{%(?P<percent>.+?)%\}|\{\$(?P<dollar>[^}]+)\}", re.DOTALL)


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """Replace every `{$NAME}` and `{%NAME%}`; a variable that is not set becomes nothing.

    What does not end, as `{$NAME`, or names nothing, as `{$}`, stays as it is. A value is never looked into again,
    so a variable that names itself ends here, where CoreDNS would not.
    """
    return _REFERENCE.sub(lambda match: environment.get(match["percent"] or match["dollar"], ""), text)
