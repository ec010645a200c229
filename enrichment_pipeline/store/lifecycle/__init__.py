"""Deletion: people who are forgotten, and days past their retention."""
