"""The parts of word alignment that need no model: splitting text into words, finding and scoring links."""
