"""A picture as one HTML page that loads nothing."""

from __future__ import annotations

from html import escape
from importlib.resources import files

__all__ = ("html_of",)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
html, body {{ margin: 0; height: 100%; background: #ffffff; font-family: Arial, 'Liberation Sans', sans-serif; }}
body > svg {{ width: 100vw; height: 100vh; cursor: grab; touch-action: none; display: block; }}
body > svg:active {{ cursor: grabbing; }}
.faded {{ opacity: 0.15; }}
p {{ position: fixed; right: 12px; top: 8px; margin: 0; font-size: 12px; color: #59636e; }}
@media (prefers-color-scheme: dark) {{ html, body {{ background: #0d1117; }} p {{ color: #9ea7b3; }} }}
</style>
</head>
<body>
{svg}<p>drag to move, scroll to zoom, hover for guards, double-click to see all</p>
<script>
{script}
</script>
</body>
</html>
"""


def html_of(svg: str, *, title: str) -> str:
    """Return a page around an SVG document. It works without a network, and follows the reader's light or dark."""
    script = (files(__package__ or "") / "viewer.js").read_text(encoding="utf-8")
    return _PAGE.format(title=escape(title), svg=svg, script=script.strip())
