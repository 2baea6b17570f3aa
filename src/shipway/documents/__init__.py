"""Documents made from the records: the model card."""
