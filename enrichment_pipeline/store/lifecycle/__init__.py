"""What goes: people who are forgotten, days that are over."""
