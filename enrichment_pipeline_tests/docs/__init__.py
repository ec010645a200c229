"""The documentation: what it links to is there, and what is in the code is in it."""
