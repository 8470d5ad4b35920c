"""Pupil Labs glasses: discovery, the camera over RTSP, and where the wearer looks."""
