"""Real data to try the product on, and the story that ``shipway demo`` tells with it."""
