"""Text cut into passages, sentences, questions and terms."""
