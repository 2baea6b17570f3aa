"""Who may do what: keys and the rights that they carry."""
