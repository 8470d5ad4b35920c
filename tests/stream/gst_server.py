"""GStreamer's RTSP server with cameras as people own them, for a Python that has `gi`.

Call: python gst_server.py [PORT]; the port is the only line that is printed, and the end of the
standard input is the end.
"""

from __future__ import annotations

import sys
import threading

PASSWORD = "p#ss/w@rd"
X264 = (
    "x264enc tune=zerolatency sliced-threads={sliced} threads=4 speed-preset=ultrafast "
    "key-int-max={interval} ! video/x-h264,profile=baseline ! "
    "rtph264pay config-interval=-1 name=pay0 pt=96"
)


def add(
    mounts: object, path: str, fps: str, interval: int, sliced: str = "false", proto: object = None,
    shared: bool = False,
) -> None:  # fmt: skip
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        "( videotestsrc is-live=true pattern=ball ! "
        f"video/x-raw,width=320,height=240,framerate={fps} ! "
        f"{X264.format(sliced=sliced, interval=interval)} )"
    )
    factory.set_shared(shared)
    if proto is not None:
        factory.set_protocols(proto)
    rights = GstRtspServer.RTSPPermissions()
    rights.add_role("user")
    for right in ("access", "construct"):
        rights.add_permission_for_role("user", f"media.factory.{right}", True)
    factory.set_permissions(rights)
    mounts.add_factory(path, factory)


def main() -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1] if len(sys.argv) > 1 else "0")
    mounts = server.get_mount_points()
    add(mounts, "/rare", "15/1", 45, shared=True)
    add(mounts, "/udp", "15/1", 15, proto=GstRtsp.RTSPLowerTrans.UDP)
    add(mounts, "/slow", "1/1", 2)
    add(mounts, "/pieces", "15/1", 15, sliced="true")
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic("admin", PASSWORD), token)
    server.set_auth(auth)
    server.attach(None)
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    loop = GLib.MainLoop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    loop.run()


if __name__ == "__main__":  # only here: the tests' own Python need not have it
    import gi

    for name in ("Gst", "GstRtsp", "GstRtspServer"):
        gi.require_version(name, "1.0")
    from gi.repository import GLib, Gst, GstRtsp, GstRtspServer

    main()
