"""The reason that somebody gives for a change, as records have it and as others can be shown it."""

from __future__ import annotations

import re
import unicodedata

from events.messages import LONGEST_WHY


def checked_reason(typed: str) -> str | None:
    """The same with plain spaces, and none at its ends; None where nothing is left.

    Raises ValueError, with what follows the name of the field in a sentence, where it is too long,
    or has a character that cannot be shown: one that only joins others is none.
    """
    said = re.sub(r"\s", " ", typed).strip()
    if len(said) > LONGEST_WHY:
        raise ValueError(f"must have at most {LONGEST_WHY} characters, and has {len(said)}")
    for each in said:
        if not each.isprintable():
            name = unicodedata.name(each, "")
            code = f"U+{ord(each):04X}" + (f" ({name})" if name else "")
            raise ValueError(f"has {code}, which cannot be shown. Leave it out")
    return said or None
