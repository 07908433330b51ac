"""Word alignment: words, links between them, and attention as links."""
