"""The database: reaching it, its tables, roles and partitions, the embedded server, errors."""
