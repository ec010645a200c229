"""Windows: their books and contents, how many there may be, how fresh they are."""
