"""What became of the predictions: events, labels, drift, performance, alerts and the report."""
