"""Statistics and verdicts: numbers in, intervals and judgements out. No disk, clock or network."""
