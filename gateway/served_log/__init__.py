"""served.jsonl: a line for each request at its end, with all that is needed to decide it once more."""
