"""Word alignment without a model: words, links between them, and links from attention weights."""
