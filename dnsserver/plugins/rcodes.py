"""Response codes as Corefiles spell them; no I/O."""

_RCODES = {  # the mnemonics of CoreDNS's library (RFC 6895, section 2.3)
    "NOERROR": 0,
    "FORMERR": 1,
    "SERVFAIL": 2,
    "NXDOMAIN": 3,
    "NOTIMP": 4,
    "NOTIMPL": 4,
    "REFUSED": 5,
    "YXDOMAIN": 6,
    "YXRRSET": 7,
    "NXRRSET": 8,
    "NOTAUTH": 9,
    "NOTZONE": 10,
    "DSOTYPENI": 11,
    "BADSIG": 16,
    "BADVERS": 16,
    "BADKEY": 17,
    "BADTIME": 18,
    "BADMODE": 19,
    "BADNAME": 20,
    "BADALG": 21,
    "BADTRUNC": 22,
    "BADCOOKIE": 23,
}


def parse_rcode(text: str) -> int:
    """Return the code of a mnemonic, in any case; raises `ValueError`."""
    code = _RCODES.get(text.upper())
    if code is None:
        raise ValueError(f"unknown rcode '{text[:100]}', expecting a name such as NXDOMAIN")
    return code
