"""Flights from New York in 2013: will this one arrive over 15 minutes late?"""
