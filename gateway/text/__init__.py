"""Text before speech: markup taken out, split into clauses, a language found for each. Pure."""
