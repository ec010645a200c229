"""The commands: a module for each, which reads arguments, calls a mechanism and prints the result.

`up` and `demo` also start and watch the processes of one machine (`services`).
"""
