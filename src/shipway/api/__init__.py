"""The verbs that a notebook and the command line share."""
