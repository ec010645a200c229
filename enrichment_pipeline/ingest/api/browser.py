"""What posthog-js asks for before it captures anything: its configuration, flags, and itself.

The facts are posthog-js' own. On a first visit no version captures clicks before a configuration
says that it may: up to 1.120 by `enable_collect_everything: true`, later ones by
`autocapture_opt_out: false`. They ask `/decide` for it, from 1.240 or so `/flags`, today `/array`.
One that is not told of gzip sends what is left, when its page is left, in a way that browsers ask
leave for first, and so loses it.
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
    # It becomes a part of a script.
    if not _TOKEN.fullmatch(token):
        return PlainTextResponse("not a project token", 404)
    entry = json.dumps({"config": {"token": token, **_CONFIG}, "siteApps": []})
    script = (
        "window._POSTHOG_REMOTE_CONFIG = window._POSTHOG_REMOTE_CONFIG || {};\n"
        f"window._POSTHOG_REMOTE_CONFIG[{json.dumps(token)}] = {entry};\n"
    )
    return Response(script, media_type="application/javascript")


async def flags(request: Request) -> Response:
    """`/flags`: there are none; and the configuration, where it is asked for."""
    wants_config = request.query_params.get("config") == "true"
    return JSONResponse({**_CONFIG, **_FLAGS} if wants_config else _FLAGS)


async def decide(request: Request) -> Response:
    """`/decide`, which older versions ask for configuration and flags at once."""
    # The first version of the question wants the names of the flags that are on, and no values.
    is_first = request.query_params.get("v", "1") == "1"
    return JSONResponse({**_CONFIG, **_FLAGS, **({"featureFlags": []} if is_first else {})})


async def static(request: Request) -> Response:
    """`/static/…`: posthog-js and its parts, from where PostHog serves them."""
    return RedirectResponse(_ASSETS + request.path_params["file"])
