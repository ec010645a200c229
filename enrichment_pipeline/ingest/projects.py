"""The names of projects, wherever they are given: by a token, an import or a pull."""

import re

PROJECT = re.compile(r"[A-Za-z0-9_.-]{1,64}")

PROJECT_RULE = "may have up to 64 letters, digits, and . _ -"
