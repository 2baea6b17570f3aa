"""The records in a SQL database, through SQLAlchemy Core; ``sqlite`` alone knows SQLite."""
