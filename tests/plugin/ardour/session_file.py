"""Edits saved Ardour sessions in ways that Ardour's scripts cannot: puts a recording on the track, and sets the
plugin's state."""

import base64
import json
import shutil
import struct
import xml.etree.ElementTree as ElementTree

import xxhash

SUPERCLOCKS_PER_SECOND = 282240000  # Ardour 7's unit of time


def coil_state(model, controls, chain):
    """A plugin session that embeds the file `model` in its first slot, in the format of plugin/session.cpp."""
    slot = {
        "hash": "",
        "name": model.stem,
        "path": str(model),
        "controls": controls,
        "file_bytes": model.stat().st_size,
    }
    text = json.dumps({"active_slot": 0, "chain": chain, "slots": [slot, None]}).encode()
    content = text + model.read_bytes()
    checked = struct.pack("<QQ", len(content), len(text)) + content
    return b"COIL" + struct.pack("<IQ", 1, xxhash.xxh3_64_intdigest(checked)) + checked


def vst3_preset(class_id, component_state):
    """Steinberg's preset format with one chunk: header, chunk, list of chunks."""
    header = struct.Struct("<4si32sq")
    return (
        header.pack(b"VST3", 1, class_id, header.size + len(component_state))
        + component_state
        + struct.pack("<4si4sqq", b"List", 1, b"Comp", header.size, len(component_state))
    )


def put_in(folder, name, wav, rate, frames, state):
    """Puts the stereo file `wav` at the start of the session's only track, and sets its plugin's state."""
    path = folder / (name + ".ardour")
    tree = ElementTree.parse(path)
    session = tree.getroot()
    shutil.copy(wav, folder / "interchange" / name / "audiofiles" / "recording.wav")
    length = str(frames * SUPERCLOCKS_PER_SECOND // rate)

    region = {
        "name": "recording",
        "id": "90003",
        "type": "audio",
        "start": "a0",
        "length": f"a{length}@a0",
        "channels": "2",
        "first-edit": "nothing",
        "opaque": "1",
        "scale-amplitude": "1",
        "stretch": "1",
        "shift": "1",
        "layering-index": "0",
    }
    region |= dict.fromkeys(
        (
            "muted",
            "locked",
            "automatic",
            "whole-file",
            "external",
            "hidden",
            "envelope-active",
            "default-fade-in",
            "default-fade-out",
            "fade-in-active",
            "fade-out-active",
        ),
        "0",
    )
    for channel in range(2):
        source = str(90001 + channel)
        ElementTree.SubElement(
            session.find("Sources"),
            "Source",
            {
                "name": "recording.wav",
                "type": "audio",
                "flags": "",
                "id": source,
                "channel": str(channel),
                "origin": "",
                "gain": "1",
            },
        )
        region |= {f"source-{channel}": source, f"master-source-{channel}": source}
    ElementTree.SubElement(session.find("Playlists")[0], "Region", region)
    ElementTree.SubElement(
        session.find("Locations"),
        "Location",
        {
            "id": "90004",
            "name": "session",
            "start": "a0",
            "end": "a" + length,
            "flags": "IsSessionRange",
            "locked": "0",
            "timestamp": "0",
            "cue": "0",
            "scene-id": "0",
        },
    )
    plugin = next(processor for processor in session.iter("Processor") if processor.get("type") == "vst3")
    plugin.find("vst3/chunk").text = base64.b64encode(vst3_preset(plugin.get("unique-id").encode(), state)).decode()
    tree.write(path)
