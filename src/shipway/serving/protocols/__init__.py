"""Each protocol that clients speak: requests into columns, answers into bytes."""
