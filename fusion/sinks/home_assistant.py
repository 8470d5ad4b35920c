"""What Home Assistant needs to show a source by itself: its MQTT device discovery.

Schema: home-assistant.io/integrations/mqtt, section "Device discovery payload" (2024.11 or later).
"""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import get_type_hints

import msgspec

from egomon.fusion.messages.types import StatusData

MAX_STATE = 255
"""Characters of a state in Home Assistant."""
_STEP = f"{{{{ ((value_json.data.step or {{}}).text or 'unknown')[:{MAX_STATE}] }}}}"
_OPEN = "{{ 'ON' if value_json.data.phase in ('new', 'update') else 'OFF' }}"


def discovery(site: str, source: str, topics: str, availability: str) -> tuple[str, bytes]:
    """Object id and payload of the discovery message of a source.

    Args:
        site: where the monitor stands.
        source: name of the source.
        topics: what its topics begin with, with the last slash.
        availability: topic that says whether the monitor is there.
    """
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", f"egomon_{site}_{source}")
    release = version("egomon")
    states = msgspec.inspect.type_info(get_type_hints(StatusData)["source_state"])
    assert isinstance(states, msgspec.inspect.LiteralType)

    def entity(platform: str, key: str, title: str, **options: object) -> dict[str, object]:
        return {"platform": platform, "unique_id": f"{name}_{key}", "name": title, **options}

    components = {
        "mistake": entity(
            "binary_sensor",
            "mistake",
            "Mistake",
            device_class="problem",
            state_topic=f"{topics}alert",
            value_template=_OPEN,
            json_attributes_topic=f"{topics}alert",
            json_attributes_template="{{ value_json.data | tojson }}",
        ),
        "picture": entity("camera", "picture", "Picture", topic=f"{topics}picture"),
        "step": entity(
            "sensor", "step", "Step", state_topic=f"{topics}segment", value_template=_STEP
        ),
        "state": entity(
            "sensor",
            "state",
            "State",
            device_class="enum",
            options=sorted(states.values, key=str),
            state_topic=f"{topics}status",
            value_template="{{ value_json.data.source_state }}",
        ),
    }
    payload = {
        "device": {
            "identifiers": [name],
            "name": f"{source} at {site}",
            "manufacturer": "egomon",
            "sw_version": release,
        },
        "origin": {"name": "egomon", "sw_version": release},
        "availability_topic": availability,
        "qos": 1,
        "components": components,
    }
    return name, msgspec.json.encode(payload)
