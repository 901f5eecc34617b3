"""What CoreDNS's metrics and log lines spell in their own way; no I/O."""

_RCODES = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN",
    7: "YXRRSET", 8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE", 11: "DSOTYPENI",
    16: "BADSIG",  # BADVERS has the same number, and miekg/dns prints this name
    17: "BADKEY", 18: "BADTIME", 19: "BADMODE", 20: "BADNAME", 21: "BADALG", 22: "BADTRUNC", 23: "BADCOOKIE",
}  # fmt: skip  # as above


def rcode_text(rcode: int) -> str:
    """Return the mnemonic of a response code, or RCODE123."""
    return _RCODES.get(rcode) or f"RCODE{rcode}"


def one_line(text: str) -> str:
    """Return text with everything that could break or forge a log line escaped, as `\\n` or `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
