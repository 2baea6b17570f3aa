"""The only wiring: settings become stores, runtimes, predictors, journals and senders."""
