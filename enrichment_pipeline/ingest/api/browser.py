"""What posthog-js asks for before it captures anything: its configuration, flags, and itself.

The facts are posthog-js' own (1.449.2): on a first visit it captures no clicks until a
configuration says `autocapture_opt_out: false`.
"""

import json
import re

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")

# Where PostHog serves posthog-js; the snippet asks its api_host for it.
_ASSETS = "https://us-assets.i.posthog.com/static/"

_CONFIG = {
    "supportedCompression": ["gzip", "gzip-js"],
    "autocapture_opt_out": False,
    "elementsChainAsString": True,
    "analytics": {"endpoint": "/i/v0/e/"},
    "captureDeadClicks": False,
    "capturePerformance": False,
    "autocaptureExceptions": False,
    "defaultIdentifiedOnly": True,
    "hasFeatureFlags": False,
    "heatmaps": False,
    "sessionRecording": False,
    "siteApps": [],
    "surveys": False,
    "toolbarParams": {},
    "isAuthenticated": False,
}

_FLAGS = {"featureFlags": {}, "featureFlagPayloads": {}, "errorsWhileComputingFlags": False}


async def config(request: Request) -> Response:
    """`/array/{token}/config`."""
    if not _TOKEN.fullmatch(request.path_params["token"]):
        return PlainTextResponse("not a project token", 404)
    return JSONResponse({"token": request.path_params["token"], **_CONFIG})


async def config_script(request: Request) -> Response:
    """`/array/{token}/config.js`."""
    token = request.path_params["token"]
    # It becomes a part of a script.
    if not _TOKEN.fullmatch(token):
        return PlainTextResponse("not a project token", 404)
    entry = json.dumps({"config": {"token": token, **_CONFIG}, "siteApps": []})
    script = (
        "window._POSTHOG_REMOTE_CONFIG = window._POSTHOG_REMOTE_CONFIG || {};\n"
        f"window._POSTHOG_REMOTE_CONFIG[{json.dumps(token)}] = {entry};\n"
    )
    return Response(script, media_type="application/javascript")


async def flags(_: Request) -> Response:
    """`/flags`: there are none."""
    return JSONResponse(_FLAGS)


async def decide(_: Request) -> Response:
    """`/decide`, which older versions ask for configuration and flags at once."""
    return JSONResponse({**_CONFIG, **_FLAGS})


async def static(request: Request) -> Response:
    """`/static/…`: posthog-js and its parts, from where PostHog serves them."""
    return RedirectResponse(_ASSETS + request.path_params["file"])
