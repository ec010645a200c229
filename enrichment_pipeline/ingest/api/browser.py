"""What posthog-js requests before it captures anything: its configuration, flags, and itself.

The facts come from posthog-js. On a first visit no version captures clicks before a configuration
allows it: up to 1.120 by `enable_collect_everything: true`, later by `autocapture_opt_out: false`.
Old versions request it from `/decide`, from 1.240 or so from `/flags`, today from `/array`. A
version whose configuration does not offer gzip loses the events that are left when its page is
closed: it sends them in a way that needs a CORS preflight.
"""

import json
import re

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")

# Where PostHog serves posthog-js, which the snippet requests from its api_host.
_ASSETS = "https://us-assets.i.posthog.com/static/"

_CONFIG = {
    "supportedCompression": ["gzip", "gzip-js"],
    "config": {"enable_collect_everything": True},
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

_FLAGS = {
    "flags": {},
    "featureFlags": {},
    "featureFlagPayloads": {},
    "errorsWhileComputingFlags": False,
}


async def config(request: Request) -> Response:
    """`/array/{token}/config`."""
    if not _TOKEN.fullmatch(request.path_params["token"]):
        return PlainTextResponse("not a project token", 404)
    return JSONResponse({"token": request.path_params["token"], **_CONFIG})


async def config_script(request: Request) -> Response:
    """`/array/{token}/config.js`."""
    token = request.path_params["token"]
    # The token becomes a part of a script.
    if not _TOKEN.fullmatch(token):
        return PlainTextResponse("not a project token", 404)
    entry = json.dumps({"config": {"token": token, **_CONFIG}, "siteApps": []})
    script = (
        "window._POSTHOG_REMOTE_CONFIG = window._POSTHOG_REMOTE_CONFIG || {};\n"
        f"window._POSTHOG_REMOTE_CONFIG[{json.dumps(token)}] = {entry};\n"
    )
    return Response(script, media_type="application/javascript")


async def flags(request: Request) -> Response:
    """`/flags`: no flags, and the configuration where it is requested."""
    wants_config = request.query_params.get("config") == "true"
    return JSONResponse({**_CONFIG, **_FLAGS} if wants_config else _FLAGS)


async def decide(request: Request) -> Response:
    """`/decide`, from which older versions get configuration and flags at once."""
    # Version 1 of the request expects a list of the flags that are on, without values.
    is_first = request.query_params.get("v", "1") == "1"
    return JSONResponse({**_CONFIG, **_FLAGS, **({"featureFlags": []} if is_first else {})})


async def static(request: Request) -> Response:
    """`/static/…`: redirects to posthog-js and its parts, where PostHog serves them."""
    return RedirectResponse(_ASSETS + request.path_params["file"])
