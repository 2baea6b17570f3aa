"""How the tables came to be: Alembic's migrations, shipped with the package."""
