"""Faults, injected into real processes under load: `make faults` runs them all, and prints what
became of the events.

The processes and the load belong to `stage`, what is done to them to `injections`, connections that
are cut or slow to `proxy`.
"""
