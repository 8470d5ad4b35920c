"""Pupil Labs glasses: discovery, scene camera over RTSP, and gaze."""
