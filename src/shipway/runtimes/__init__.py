"""One model format, one file: how a model is taken in, proved equal, stored and loaded."""
