"""Text of others inside a prompt: data, whatever it says."""

from __future__ import annotations

import json

# what chat templates, code fences and tags are made of
_MARKUP = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>|[]{}`#"})


def as_data(text: str, limit: int) -> str:
    """Return `text` as one quoted line of at most `limit` characters that can open nothing.

    Control, bidirectional and other invisible characters become spaces; the characters that chat
    templates and tags are made of are escaped as in JSON, so that no part of the text becomes a
    turn of the conversation. A model may still be talked into something by plain words: nothing
    but parsed expressions is ever taken from its answer.
    """
    visible = "".join(c if c.isprintable() else " " for c in text[: 4 * limit])
    line = " ".join(visible.split())
    shown = line if len(line) <= limit else f"{line[:limit]}..."
    return json.dumps(shown, ensure_ascii=False).translate(_MARKUP)
