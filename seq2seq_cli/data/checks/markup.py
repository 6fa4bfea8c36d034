"""HTML and XML in lines of text: entities are replaced by what they stand for, tags are left out."""

import html
import re

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_TAG = re.compile(
    r"""<(?P<close>/?)(?P<name>[A-Za-z][\w:.-]*)
        (?P<attributes>(?:\s+[A-Za-z_:][\w:.-]*(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>=]+))?)*)
        \s*(?P<empty>/?)>
      |<!--[^<>]*-->|<!DOCTYPE[^<>]*>|<\?xml[^<>]*\?>""",
    re.VERBOSE | re.IGNORECASE,
)
_BLOCKS = (
    "blockquote body br center dd div dl dt h1 h2 h3 h4 h5 h6 head hr html img li ol option p pre table tbody td tfoot th "
    "thead title tr ul"
)
_INLINE = "b big em font i nobr pad s small span strike strong sub sup tt u wbr"
_PARTING = frozenset(_BLOCKS.split())
"""Elements that separate words; all others stand within words."""
_PLAIN = (_PARTING | frozenset(_INLINE.split())) - {"option", "title"}
"""Elements that are markup even without a closing tag. (<title>, <link> or <name> may be a placeholder.)"""
_BLANKS = re.compile(" {2,}")
_CLOSING = re.compile(r"</([A-Za-z][\w:.-]*)")
_QUOTED = re.compile("= *[\"']")
_ESCAPED = re.compile("&(?:amp;|#0*38;|#x0*26;)+", re.IGNORECASE)
"""An ampersand that was escaped any number of times."""
DEEPEST = 16
"""At most so many layers of markup within markup are removed."""


def may_have_markup(text: str) -> bool:
    """A quick check; False only where there is certainly none."""
    return "<" in text or ("&" in text and ";" in text)


def without_markup(line: str) -> str:
    """``line`` without its tags, and with entities replaced by what they stand for. What only looks like markup stays:
    ``a < b``, ``<name>``, ``AT&T``."""
    for _ in range(DEEPEST):  # &amp;lt;b&amp;gt; is a tag that was escaped twice
        if not may_have_markup(line):
            break
        plain = _ENTITY.sub(lambda found: html.unescape(found[0]), _ESCAPED.sub("&", line))
        if "<" in plain:
            plain = _without_tags(plain)
        if plain == line:
            break
        line = plain
    return line


def _without_tags(line: str) -> str:
    closed = {name.lower() for name in _CLOSING.findall(line)}
    plain = _TAG.sub(lambda found: _replacement(found, closed), line)
    return line if plain == line else _BLANKS.sub(" ", plain).strip()


def _replacement(found: re.Match[str], closed: set[str]) -> str:
    name = found["name"]
    if name is None:
        return " "
    if not _is_tag(found, name.lower(), closed):
        return found[0]
    return " " if name.lower() in _PARTING else ""


def _is_tag(found: re.Match[str], name: str, closed: set[str]) -> bool:
    attributes = found["attributes"]
    if attributes.strip() and "=" not in attributes:
        return False  # x <y and z> w
    if found["close"] or found["empty"] or _QUOTED.search(attributes):
        return True
    return name in _PLAIN or name in closed
