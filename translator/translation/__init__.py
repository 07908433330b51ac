"""Translation, word alignment and evaluation of texts with a loaded model."""
