"""The parts of word alignment that need no model: words, links, and links from attention weights."""
