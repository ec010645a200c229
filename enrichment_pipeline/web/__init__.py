"""Pages for people: what users did, counted and session by session, for whoever has the read token.

Made here, without a script in the browser. What they show comes from the same functions as the
answers to models (`llm`, `analytics`).
"""
