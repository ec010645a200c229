"""What the libraries on phones, in apps and on servers say of themselves; how an exception looks.

What is done in a session belongs to `sessions`.
"""

PHONE: dict[str, object] = {
    "$os": "Android",
    "$os_version": "16",
    "$device": "Android",
    "$device_type": "Mobile",
    "$browser": "Chrome",
    "$screen_height": 915,
    "$screen_width": 412,
    "$viewport_height": 785,
    "$viewport_width": 412,
    "$raw_user_agent": "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/156.0.0.0 Mobile Safari/537.36",
}
"""Of posthog-js in the browser of a phone, laid over what was recorded on a desktop."""

APP: dict[str, object] = {
    "$lib": "posthog-ios",
    "$lib_version": "3.34.0",
    "$os_name": "iOS",
    "$os_version": "26.1",
    "$device_type": "Mobile",
    "$device_manufacturer": "Apple",
    "$device_model": "iPhone17,1",
    "$device_name": "iPhone",
    "$app_name": "Shop",
    "$app_version": "4.2.0",
    "$app_build": "412",
    "$app_namespace": "example.shop",
    "$is_emulator": False,
    "$is_testflight": False,
    "$is_sideloaded": False,
    "$is_identified": False,
    "$process_person_profile": True,
    "$screen_height": 874,
    "$screen_width": 402,
    "$locale": "en-DE",
    "$timezone": "Europe/Berlin",
    "$network_wifi": True,
    "$network_cellular": False,
}

SERVER: dict[str, object] = {
    "$lib": "posthog-python",
    "$lib_version": "7.9.0",
    "$python_runtime": "CPython",
    "$python_version": "3.13.9",
    "$os": "Linux",
    "$os_distro": "debian",
    "$os_version": "13",
    "$geoip_disable": True,
    "$is_server": True,
}


def stack_of(kind: str, message: str, url: str) -> dict[str, object]:
    """The properties of an exception, as posthog-js has them."""
    frames = [
        {
            "platform": "web:javascript",
            "filename": f"{url}static/app-5f2a9c1e.js",
            "function": function,
            "lineno": line,
            "colno": 8 * line,
            "in_app": True,
        }
        for line, function in enumerate(("run", "dispatch", "onClick", "?"), 12)
    ]
    return {
        "$exception_level": "error",
        "$exception_list": [
            {
                "type": kind,
                "value": message,
                "mechanism": {"handled": False, "synthetic": False, "type": "onerror"},
                "stacktrace": {"type": "raw", "frames": frames},
            }
        ],
    }
