"""Scoring tables offline with the same predictor that serves online."""
