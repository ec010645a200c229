"""Windows: their books, their number, how fresh they are."""
