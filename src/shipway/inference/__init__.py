"""The predictor: rows in, decisions and events out, over no particular transport."""
