"""Text of other people and other systems: files that they wrote, names that they gave, terminals to read it on."""

import re


def printable(text: str) -> str:
    """Return text as one line: what ends a line, commands a terminal or is no letter at all is written as an escape."""
    whole = text.encode("utf-8", "backslashreplace").decode()  # Python holds bytes that are no text as lone surrogates
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: ascii(found[0])[1:-1], whole)
