"""Whether a model understands a session better from its timeline than from its events.

Scripted sessions with known answers (`scripts.yaml`), the payloads that posthog-js would have sent
of them (`sessions`), their timelines (`timelines`), the answers by rule (`reading`) and by a model
(`asking`), and what they are worth (`scoring`).
"""
