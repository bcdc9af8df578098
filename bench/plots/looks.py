"""What the pictures of measurements have in common."""

from __future__ import annotations

COLOURS = ("#2b6ca3", "#c8553d", "#4f8f5b", "#8a6bb1", "#b8860b", "#4d4d4d", "#d17ba5", "#5fa8a8",
           "#9aa23b", "#6cb6e8")  # fmt: skip
STYLES = ("-", "--", ":", "-.")
INK, FAINT = "#333333", "#666666"
