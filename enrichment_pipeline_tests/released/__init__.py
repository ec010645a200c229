"""What a release promises: its public interface, kept as data, and held against the code of now.

`docs/reference/versioning.md` says what is public.
"""
