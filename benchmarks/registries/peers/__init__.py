"""What runs in the environments of others: a list of pins, and the program that is measured."""
