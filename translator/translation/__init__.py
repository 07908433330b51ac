"""Text in, text out: translating, aligning and evaluating with a loaded model."""
