"""Dead letters: choosing, counting and replaying what failed."""
