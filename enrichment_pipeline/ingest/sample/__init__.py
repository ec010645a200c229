"""The demo's sample: a recorded session of posthog-js, and the shop's traffic made from it."""
