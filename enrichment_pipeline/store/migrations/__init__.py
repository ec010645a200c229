"""The history of the schema: one module in `versions` for each step, frozen once released."""
