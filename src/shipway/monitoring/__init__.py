"""What happened after deployment: events, labels, drift, performance, alerts, reports."""
