"""The database: connections, its tables, roles and partitions, the embedded server, errors."""
