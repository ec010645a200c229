"""The files of `deploy/`: what they name exists, and what compose.yaml starts works together."""
