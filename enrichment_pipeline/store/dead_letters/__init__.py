"""Dead letters: what failed, chosen, counted, replayed."""
